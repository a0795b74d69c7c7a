"""From bytes to a model that decides: read, built, and tried before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ossa.contracts.routing import ModelKind, ModelRecord
from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.archive import ModelFile, ModelFileError, load, packaged
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import Reading, read
from ossa.routing.model_scorer import LoadedModel

Build = Callable[[ModelFile], Any]
Values = Callable[[Any, Reading], Any]

BUILDERS: Final[Mapping[ModelKind, Build]] = {
    "labels": LabelModel.of,
    "agents": AgentMatcher.of,
    "quality": QualityModel.of,
}
_VALUES: Final[Mapping[ModelKind, Values]] = {
    "labels": lambda model, reading: model.predict(reading).likely,
    "agents": lambda model, reading: AgentTable.of(("reviews code", "greets people"), model).fits(reading),
    "quality": lambda model, reading: model.predict(reading).quality,
}
_PROBES: Final = ("", "hello", "what is 2 + 2?", "\u0000\ud800 \u6f22\u5b57", "word " * 4000)


def read_model(kind: ModelKind, content: bytes, record: ModelRecord, *, since: datetime) -> LoadedModel:
    """Of the registry. Takes milliseconds of CPU: call it in a thread. Raises `ModelFileError`."""
    source = f"router model {kind} {record.version}"
    file = load(content, source=source)
    if file.digest != record.digest:
        raise ModelFileError(f"{source}: its arrays have the digest {file.digest}, the registry says {record.digest}.")
    return LoadedModel(kind, file.digest, record.version, build(kind, file, source), file.card, since)


def read_packaged(kind: ModelKind, *, since: datetime) -> LoadedModel:
    """The one that comes with the package. Raises `ModelFileError`."""
    file, model = _packaged(kind)
    return LoadedModel(kind, file.digest, None, model, file.card, since)


def build(kind: ModelKind, file: ModelFile, source: str) -> Any:
    """A model that answers short, long, empty and strange texts with finite values. Raises `ModelFileError`."""
    try:
        model = BUILDERS[kind](file)
        for probe in _PROBES:
            values = np.asarray(_VALUES[kind](model, read(probe)))
            if not values.size or not np.isfinite(values).all():
                raise ModelFileError(f"{source} estimates what is no number.")
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ModelFileError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model


@lru_cache(maxsize=8)
def _packaged(kind: ModelKind) -> tuple[ModelFile, Any]:
    file = packaged(kind)
    return file, build(kind, file, f"the packaged model {kind!r}")
