"""A model file: arrays and a card in one `.npz`, read without unpickling anything.

The card says what the model is: `format`, `kind`, `name`, `data`, `split`, `metrics`, `calibration`, `importance`, and
what its kind needs to run. `digest` covers the arrays, so that a decision can name the model that made it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.errors import OssaError

FORMAT = 1
REQUIRED = ("format", "kind", "name", "data", "split", "metrics", "calibration", "importance")
_CARD = "card"
MOST = 127
"""Largest entry of a quantised row."""


class ModelFileError(OssaError):
    """A routing model's file cannot be used: damaged, or of another format or kind."""


@dataclass(frozen=True)
class ModelFile:
    card: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def digest(self) -> str:
        """Twelve hex digits of SHA-256 over names, shapes and bytes of the arrays."""
        sha = hashlib.sha256()
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(array.tobytes())
        return sha.hexdigest()[:12]

    def of_kind(self, kind: str) -> ModelFile:
        """Returns the file itself. Raises `ModelFileError` if it is of another kind."""
        if self.card["kind"] != kind:
            raise ModelFileError(f"A routing model of kind {self.card['kind']!r} where {kind!r} is needed.")
        return self


def dump(model: ModelFile) -> bytes:
    """Returns the bytes of a model file; the same for the same model."""
    card = {"format": FORMAT, **model.card, "digest": model.digest}
    missing = [name for name in REQUIRED if name not in card]
    if missing:
        raise ModelFileError(f"The model's card lacks {', '.join(missing)}.")
    entries = {**model.arrays, _CARD: np.frombuffer(json.dumps(card, indent=1).encode(), dtype=np.uint8)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(entries[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def load(content: bytes, *, source: str = "model") -> ModelFile:
    """Reads a model file. Raises `ModelFileError`, which names `source` and what is wrong."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        card = json.loads(arrays.pop(_CARD).tobytes())
    except Exception as error:  # zip, zlib, NumPy and JSON each raise their own for bytes that are damaged
        raise ModelFileError(f"{source} is not a routing model: {type(error).__name__}: {error}") from error
    if not isinstance(card, dict):
        raise ModelFileError(f"{source} is not a routing model: its card is no JSON object.")
    if (model_format := card.get("format")) != FORMAT:
        raise ModelFileError(
            f"{source} has model format {model_format!r}; this version of ossa reads {FORMAT}. Train it again, or take "
            "the ossa version that made it."
        )
    missing = [name for name in REQUIRED if name not in card]
    if missing:
        raise ModelFileError(f"{source}: its card lacks {', '.join(missing)}.")
    model = ModelFile(card, arrays)
    if card.get("digest") != model.digest:
        raise ModelFileError(f"{source}: its arrays are not those of its card.")
    return model


@lru_cache(maxsize=8)
def packaged(name: str) -> ModelFile:
    """Returns a model that comes with the package, read at the first call."""
    file = files("ossa.routing.learned").joinpath("models", f"{name}.npz")
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"No routing model named {name!r} is packaged.") from error
    return load(content, source=f"the packaged model {name!r}")


def quantise(table: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Scales each row by its largest entry and stores a byte a number. Returns the table and a scale a row."""
    scale = np.maximum(np.abs(table).max(axis=1, initial=0.0) / MOST, 1e-7).astype(np.float16)
    rounded = np.clip(np.round(table / np.maximum(scale.astype(np.float32), 1e-7)[:, None]), -MOST, MOST)
    return rounded.astype(np.int8), scale


def restore(table: NDArray[np.int8], scale: NDArray[np.float16]) -> NDArray[np.float32]:
    """Returns the table that `quantise` stored."""
    return np.asarray(table.astype(np.float32) * scale.astype(np.float32)[:, None], dtype=np.float32)
