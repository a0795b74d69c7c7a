"""From bytes to a model that may decide: it is read, built, and tried out before it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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

BUILDERS: Final[Mapping[ModelKind, Callable[[ModelFile], Any]]] = {
    "labels": LabelModel.of,
    "agents": AgentMatcher.of,
    "quality": QualityModel.of,
}
_PROBES: Final = ("", "hello", "what is 2 + 2?", "\u0000\ud800 \u6f22\u5b57", "word " * 4000)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that was read and tried out. `version` None: it came with the package. Compared by identity."""

    kind: ModelKind
    digest: str
    version: int | None
    model: Any
    card: Mapping[str, Any]
    since: datetime


def read_model(kind: ModelKind, content: bytes, record: ModelRecord, *, since: datetime) -> LoadedModel:
    """Reads a model of the registry. Takes milliseconds of CPU: call it in a thread. Raises `ModelFileError`."""
    source = f"router model {kind} {record.version}"
    file = load(content, source=source)
    if file.digest != record.digest:
        raise ModelFileError(f"{source}: its arrays have the digest {file.digest}, the registry says {record.digest}.")
    return LoadedModel(kind, file.digest, record.version, build(kind, file, source), file.card, since)


def read_packaged(kind: ModelKind, *, since: datetime) -> LoadedModel:
    """Reads the model that comes with the package. Raises `ModelFileError`."""
    file, model = _packaged(kind)
    return LoadedModel(kind, file.digest, None, model, file.card, since)


@lru_cache(maxsize=8)
def _packaged(kind: ModelKind) -> tuple[ModelFile, Any]:
    file = packaged(kind)
    return file, build(kind, file, f"the packaged model {kind!r}")


def build(kind: ModelKind, file: ModelFile, source: str) -> Any:
    """Builds a model and checks that it gives finite values for short, long, empty and strange texts.

    Raises `ModelFileError`.
    """
    try:
        with np.errstate(all="ignore"):
            model = BUILDERS[kind](file)
            for probe in _PROBES:
                values = np.asarray(_estimates(model, read(probe)))
                if not values.size or not np.isfinite(values).all():
                    raise ValueError("it estimates what is no number")
            if reference_of(file.card):
                look_at(model, _PROBES)
    except ModelFileError as error:
        raise ModelFileError(f"{source} cannot be used: {error.message}") from error
    except Exception as error:  # what a stranger's arrays and card lead to cannot be listed
        raise ModelFileError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model


def look_at(model: Any, texts: Iterable[str]) -> list[dict[str, float]]:
    """Returns for each text the values whose drift `ossa.routing.drift` watches."""
    return [_look(model, read(text)) for text in texts]


def _look(model: Any, reading: Reading) -> dict[str, float]:
    values = {"characters": float(reading.characters)}
    buckets = reading.word_buckets
    if len(buckets) and isinstance(model, LabelModel | QualityModel):
        values["unknown words"] = float(np.mean(model.encoder.row_of[buckets] < 0))
    if isinstance(model, LabelModel):
        values["likelihood"] = float(model.predict(reading).likely.max(initial=0.0))
    return values


def _estimates(model: Any, reading: Reading) -> Any:
    """Returns all numbers that the model estimates for a text. Raises `ValueError` if they do not fit its card."""
    if isinstance(model, LabelModel):
        likely = model.predict(reading).likely
        groups = model.of_groups(likely)
        if (len(likely), len(groups)) != (len(model.labels), len(model.group_names)):
            raise ValueError("its arrays and its card name other numbers of labels or groups")
        return np.concatenate((likely, groups))
    if isinstance(model, AgentMatcher):
        table = AgentTable.of(("reviews code", "greets people"), model)
        return np.concatenate((table.fits(reading), table.likely(reading)))
    quality = model.predict(reading).quality
    if len(quality) != len(model.models):
        raise ValueError("its arrays and its card name other numbers of models")
    return quality
