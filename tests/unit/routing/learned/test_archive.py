"""A model's file says what it is, and what is damaged or of another kind is refused."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from ossa.routing.learned.archive import FORMAT, ModelFile, ModelFileError, dump, load, packaged

CARD = {
    "kind": "labels", "name": "n", "data": "d", "split": "s", "metrics": {}, "calibration": {}, "importance": {},
}  # fmt: skip
MODEL = ModelFile(CARD, {"one": np.arange(6, dtype=np.int8).reshape(2, 3), "other": np.ones(2, dtype=np.float16)})


def test_a_file_comes_back_as_it_was() -> None:
    read = load(dump(MODEL))
    assert read.card == {"format": FORMAT, **CARD, "digest": MODEL.digest}
    for name, array in MODEL.arrays.items():
        assert read.arrays[name].dtype == array.dtype
        assert np.array_equal(read.arrays[name], array)


def test_the_same_model_gives_the_same_bytes() -> None:
    assert dump(MODEL) == dump(ModelFile(dict(CARD), dict(reversed(MODEL.arrays.items()))))


def test_another_number_gives_another_digest() -> None:
    changed = {**MODEL.arrays, "other": np.asarray([1, 2], dtype=np.float16)}
    assert replace(MODEL, arrays=changed).digest != MODEL.digest


def test_arrays_that_are_not_those_of_the_card_are_refused() -> None:
    other = ModelFile(CARD, {**MODEL.arrays, "other": np.zeros(2, dtype=np.float16)})
    with pytest.raises(ModelFileError, match="not those of its card"):
        load(_with_card_of(dump(other), dump(MODEL)))


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_file_is_refused_by_name(cut: int) -> None:
    with pytest.raises(ModelFileError, match=r"mine\.npz"):
        load(dump(MODEL)[:cut], source="mine.npz")


def test_a_flipped_byte_is_refused() -> None:
    content = bytearray(dump(MODEL))
    content[content.index(b"one.npy") + 40] ^= 0xFF
    with pytest.raises(ModelFileError):
        load(bytes(content))


def test_another_format_is_refused_with_what_to_do() -> None:
    content = _with_card(dump(MODEL), {**load(dump(MODEL)).card, "format": FORMAT + 1})
    with pytest.raises(ModelFileError, match="Train it again"):
        load(content)


def test_a_card_that_lacks_something_is_refused_when_written_and_when_read() -> None:
    short = {name: value for name, value in CARD.items() if name != "calibration"}
    with pytest.raises(ModelFileError, match="calibration"):
        dump(ModelFile(short, MODEL.arrays))
    with pytest.raises(ModelFileError, match="calibration"):
        load(_with_card(dump(MODEL), {"format": FORMAT, **short}))


def test_a_pickle_is_never_opened() -> None:
    made = io.BytesIO()
    np.savez(made, card=np.asarray([{"format": FORMAT}], dtype=object))
    with pytest.raises(ModelFileError):
        load(made.getvalue())


def test_a_model_of_another_kind_is_refused() -> None:
    assert MODEL.of_kind("labels") is MODEL
    with pytest.raises(ModelFileError, match="'labels' where 'quality'"):
        MODEL.of_kind("quality")


def test_an_unknown_packaged_model_is_refused() -> None:
    with pytest.raises(ModelFileError, match="'nothing'"):
        packaged("nothing")


def _with_card(content: bytes, card: object) -> bytes:
    array = io.BytesIO()
    np.save(array, np.frombuffer(json.dumps(card).encode(), dtype=np.uint8))
    return _with_entry(content, array.getvalue())


def _with_card_of(content: bytes, other: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        return _with_entry(content, archive.read("card.npy"))


def _with_entry(content: bytes, card: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, card if name == "card.npy" else source.read(name))
    return made.getvalue()
