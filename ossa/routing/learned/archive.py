"""A model file: arrays and a card in one `.npz`, read without unpickling anything.

The card says what the model is: `format`, `kind`, `name`, `data`, `split`, `metrics`, `calibration`, `importance`, and
what its kind needs to run. `digest` is of the arrays, so that a decision can name the model that made it.
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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.errors import OssaError

FORMAT = 1
REQUIRED = ("format", "kind", "name", "data", "split", "metrics", "calibration", "importance")
_CARD = "card"


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
        """Itself. Raises `ModelFileError` when it is of another kind."""
        if self.card["kind"] != kind:
            raise ModelFileError(f"A routing model of kind {self.card['kind']!r} where {kind!r} is needed.")
        return self


def dump(model: ModelFile) -> bytes:
    """The same model gives the same bytes."""
    card = {"format": FORMAT, **model.card, "digest": model.digest}
    missing = [name for name in REQUIRED if name not in card]
    if missing:
        raise ModelFileError(f"The model's card lacks {', '.join(missing)}.")
    content = {**model.arrays, _CARD: np.frombuffer(json.dumps(card, indent=1).encode(), dtype=np.uint8)}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            array = io.BytesIO()
            np.lib.format.write_array(array, np.ascontiguousarray(content[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def load(content: bytes, *, source: str = "model") -> ModelFile:
    """Raises `ModelFileError` naming `source` and what is wrong."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        card = json.loads(arrays.pop(_CARD).tobytes())
    except Exception as error:  # zip, zlib, NumPy and JSON each raise their own for bytes that are damaged
        raise ModelFileError(f"{source} is not a routing model: {type(error).__name__}: {error}") from error
    if not isinstance(card, dict):
        raise ModelFileError(f"{source} is not a routing model: its card is no JSON object.")
    found = card.get("format")
    if found != FORMAT:
        raise ModelFileError(
            f"{source} has model format {found!r}; this version of ossa reads {FORMAT}. Train it again, or take the "
            "ossa version that made it."
        )
    missing = [name for name in REQUIRED if name not in card]
    if missing:
        raise ModelFileError(f"{source}: its card lacks {', '.join(missing)}.")
    model = ModelFile(card, arrays)
    if card.get("digest") != model.digest:
        raise ModelFileError(f"{source}: its arrays are not those of its card.")
    return model


def load_file(path: Path) -> ModelFile:
    return load(path.read_bytes(), source=str(path))


@lru_cache(maxsize=8)
def packaged(name: str) -> ModelFile:
    """A model that comes with the package, read when first asked for."""
    file = files("ossa.routing.learned").joinpath("models", f"{name}.npz")
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"No routing model named {name!r} is packaged.") from error
    return load(content, source=f"the packaged model {name!r}")
