"""Whatever a model's file holds, it is a model that works or a `ModelFileError`, and never anything else."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ossa.contracts.routing import ModelKind, ModelRecord
from ossa.routing.learned.archive import ModelFile, ModelFileError, dump, load
from ossa.routing.learned.reading import DENSE, read
from ossa.routing.model_scorer import read_model

ABOUT = {"name": "made", "data": [], "split": "", "metrics": {}, "importance": {}}
NOW = datetime(2026, 3, 4, tzinfo=UTC)


def agents_file() -> ModelFile:
    calibration = {"level": 0.1, "spread": 0.2, "temperature": 0.1}
    arrays = {"buckets": np.arange(40, dtype=np.int32), "rarity": np.ones(40, dtype=np.float16)}
    return ModelFile({**ABOUT, "kind": "agents", "shared_weight": 0.5, "calibration": calibration}, arrays)


def label_file(**card: Any) -> ModelFile:
    arrays = {
        "groups": np.zeros(2, dtype=np.int16),
        "buckets": np.asarray([1, 7], dtype=np.int32),
        "rarity": np.ones(2, dtype=np.float16),
        "inner": np.ones((2, 2), dtype=np.int8),
        "inner_scale": np.ones(2, dtype=np.float16),
        "inner_dense": np.zeros((DENSE, 2), dtype=np.float16),
        "inner_bias": np.zeros(2, dtype=np.float16),
        "outer": np.zeros((2, 2), dtype=np.float16),
        "outer_bias": np.zeros(2, dtype=np.float16),
    }
    told = {"kind": "labels", "labels": ["a", "b"], "groups": ["security"], "unmet": 1.0}
    return ModelFile({**ABOUT, **told, "calibration": {"temperature": 1.0, "floor": 0.0}, **card}, arrays)


MADE: dict[ModelKind, Callable[[], ModelFile]] = {"agents": agents_file, "labels": label_file}


def tried(kind: ModelKind, content: bytes, digest: str) -> Any:
    """None: refused."""
    record = ModelRecord(kind=kind, version=1, digest=digest, card={}, state="live", created_at=NOW)
    try:
        return read_model(kind, content, record, since=NOW).model
    except ModelFileError as error:
        assert f"{kind} 1" in error.message
        return None


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bits_give_an_error_or_a_model_that_works(kind: ModelKind, seed: int) -> None:
    good, rng, refused = dump(MADE[kind]()), random.Random(seed), 0
    for _ in range(250):
        content = bytearray(good)
        for _ in range(rng.choice((1, 1, 3, 30))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        model = tried(kind, bytes(content), MADE[kind]().digest)
        refused += model is None
        if model is not None and kind == "labels":
            assert np.isfinite(model.predict(read("what is 2 + 2?")).likely).all()
    assert refused > 100


@pytest.mark.parametrize("card", [b"[]", b"1", b"null", b'"x"', b"{}", b"[" * 100_000, b"\xff", b""])
def test_a_card_that_is_none_is_refused(card: bytes) -> None:
    made = io.BytesIO()
    np.savez(made, **MADE["agents"]().arrays, card=np.frombuffer(card, dtype=np.uint8))
    with pytest.raises(ModelFileError, match="mine"):
        load(made.getvalue(), source="mine")


@pytest.mark.parametrize("kind", MADE)
def test_any_value_of_a_card_gives_an_error_or_a_model_that_works(kind: ModelKind) -> None:
    file = MADE[kind]()
    for key in ("kind", "calibration", "labels", "groups", "unmet", "shared_weight", "reference"):
        for value in (None, "x", -1, [], {}, 1e308, [None], {"characters": ["a"] * 9}):
            changed = ModelFile({**file.card, key: value}, file.arrays)
            tried(kind, dump(changed), changed.digest)


@pytest.mark.parametrize("card", [{"labels": ["a"]}, {"groups": []}, {"labels": ["a", "b", "c"]}])
def test_a_card_that_names_more_or_fewer_than_its_arrays_is_refused(card: dict[str, Any]) -> None:
    changed = label_file(**card)
    assert tried("labels", dump(changed), changed.digest) is None
