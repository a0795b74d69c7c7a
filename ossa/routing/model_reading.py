"""From bytes to a model that decides: read, built, and tried before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from ossa.contracts.routing import ModelKind, ModelRecord
from ossa.routing.drift import reference_of
from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.archive import ModelFile, ModelFileError, load, packaged
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import Reading, read
from ossa.routing.live_quality import look_at
from ossa.routing.model_scorer import LoadedModel

Build = Callable[[ModelFile], Any]
Values = Callable[[Any, Reading], Any]

BUILDERS: Final[Mapping[ModelKind, Build]] = {
    "labels": LabelModel.of,
    "agents": AgentMatcher.of,
    "quality": QualityModel.of,
}
_PROBES: Final = ("", "hello", "what is 2 + 2?", "\u0000\ud800 \u6f22\u5b57", "word " * 4000)


def _of_labels(model: LabelModel, reading: Reading) -> Any:
    likely = model.predict(reading).likely
    of_groups = model.of_groups(likely)
    if (len(likely), len(of_groups)) != (len(model.labels), len(model.group_names)):
        raise ValueError("its arrays and its card name other numbers of labels or groups")
    return np.concatenate((likely, of_groups))


def _of_agents(model: AgentMatcher, reading: Reading) -> Any:
    table = AgentTable.of(("reviews code", "greets people"), model)
    return np.concatenate((table.fits(reading), table.likely(reading)))


def _of_quality(model: QualityModel, reading: Reading) -> Any:
    quality = model.predict(reading).quality
    if len(quality) != len(model.models):
        raise ValueError("its arrays and its card name other numbers of models")
    return quality


_VALUES: Final[Mapping[ModelKind, Values]] = {"labels": _of_labels, "agents": _of_agents, "quality": _of_quality}


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
    """A model that answers short, long, empty and strange texts with finite values, and can be watched.

    Raises `ModelFileError`.
    """
    try:
        with np.errstate(all="ignore"):
            model = BUILDERS[kind](file)
            for probe in _PROBES:
                values = np.asarray(_VALUES[kind](model, read(probe)))
                if not values.size or not np.isfinite(values).all():
                    raise ValueError("it estimates what is no number")
            if reference_of(file.card):
                look_at(model, _PROBES)
    except ModelFileError as error:
        raise ModelFileError(f"{source} cannot be used: {error.message}") from error
    except Exception as error:  # what a stranger's arrays and card lead to cannot be listed
        raise ModelFileError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model


@lru_cache(maxsize=8)
def _packaged(kind: ModelKind) -> tuple[ModelFile, Any]:
    file = packaged(kind)
    return file, build(kind, file, f"the packaged model {kind!r}")
