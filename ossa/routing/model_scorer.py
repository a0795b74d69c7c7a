"""The learned models in use as one `ossa.routing.Scorer`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import TIERS, Example, ModelKind, ModelRecord, ModelStatus
from ossa.routing.descriptions import Descriptions
from ossa.routing.drift import Bounds, Count, InputWatch, Tally, reference_of, verdict
from ossa.routing.index import FleetIndex, RequestFeatures
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


@dataclass(frozen=True)
class ModelScorer:
    """`ossa.routing.Scorer` over the models of one moment. It never changes, so a decision sees one set of models."""

    models: Mapping[ModelKind, LoadedModel] = field(default_factory=dict)
    seen: Callable[[str], None] = lambda _: None
    """Called with each text whose agents are scored; must return at once."""
    descriptions: Descriptions = field(default_factory=Descriptions, repr=False, compare=False)

    _readings: dict[str, tuple[str, Reading]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def name(self) -> str:
        """Kinds and digests, as `labels:0f3a quality:77b1`; `rules` without any."""
        return " ".join(f"{kind}:{model.digest}" for kind, model in sorted(self.models.items())) or "rules"

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """Scores by trained labels if one is likely enough and the fleet has it, else by agents' descriptions.

        Returns None without a model for either, and until the fleet's descriptions are arranged.
        """
        self.seen(features.text)
        reading = self._reading(features.text)
        return self._by_labels(index, reading) or self._by_descriptions(index, reading)

    def prepare(self, index: FleetIndex) -> None:
        """Arranges the fleet's descriptions. Takes seconds of CPU for ten thousand agents: call it in a thread."""
        loaded = self.models.get("agents")
        if loaded is not None:
            self.descriptions.arrange(index, loaded.model)

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """Returns qualities by tier; None if the model does not estimate tiers."""
        loaded = self.models.get("quality")
        if loaded is None:
            return None
        model: QualityModel = loaded.model
        positions = {tier: model.models.index(tier) for tier in TIERS if tier in model.models}
        if not positions:
            return None
        quality = model.predict(self._reading(features.text)).quality.tolist()
        return {tier: quality[position] for tier, position in positions.items()}

    def _reading(self, text: str) -> Reading:
        """Reads a text once for both questions of a decision."""
        latest = self._readings.get("latest")
        if latest is None or latest[0] != text:
            latest = self._readings["latest"] = (text, read(text))
        return latest[1]

    def _by_labels(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        """A group's fit is the likelihood of its manifest, or of its pool if the labels do not have the manifest."""
        loaded = self.models.get("labels")
        if loaded is None:
            return None
        labels: LabelModel = loaded.model
        scores = labels.predict(reading)
        if not scores.in_scope:
            return None
        pools = dict(zip(labels.group_names, labels.of_groups(scores.likely).tolist(), strict=True))
        fits = [
            float(scores.likely[labels.positions[group.manifest]])
            if group.manifest in labels.positions
            else pools.get(group.pool)
            for group in index.groups
        ]
        return None if all(fit is None for fit in fits) else [fit or 0.0 for fit in fits]

    def _by_descriptions(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        loaded = self.models.get("agents")
        if loaded is None or not reading.words:
            return None
        likely = self.descriptions.likely(index, loaded.model, reading)
        return None if likely is None else list(likely.tolist())


GOOD = 0.5
"""A rating from which on an answer counts as right."""


class ModelWatch:
    """Starts anew with every model. `look` and `learn` cost milliseconds a hundred texts: call them in a thread.

    Raises `ValueError` or `TypeError` if the card's reference does not consist of numbers.
    """

    def __init__(self, loaded: LoadedModel, bounds: Bounds) -> None:
        self.loaded = loaded
        self.aside = ""
        self.alarm = 0.0
        """1: the model is set aside."""
        self._bounds = bounds
        self._inputs = InputWatch(reference_of(loaded.card), bounds)
        self._tally = Tally(bounds)

    @property
    def drift(self) -> dict[str, float]:
        return self._inputs.drift()

    def look(self, texts: Iterable[str]) -> None:
        """Adds the texts of requests to the inputs."""
        if self._inputs.reference:
            for values in look_at(self.loaded.model, texts):
                self._inputs.see(values)

    def learn(self, examples: Iterable[Example]) -> None:
        """Adds tasks that ended or were rated since this model is in use."""
        for example in examples:
            if example.at >= self.loaded.since:
                self._tally.count(example.task_id, example.tenant, evidence(self.loaded, example))
        self.alarm = self._tally.alarm()

    def judge(self) -> str:
        """Returns why the model is set aside from now on; empty if it decides."""
        self.aside = verdict(self.drift, self.alarm, self._bounds, aside=bool(self.aside))
        return self.aside

    def status(self, fallback: str) -> ModelStatus:
        """`fallback`: why it is not the promoted model."""
        loaded = self.loaded
        return ModelStatus(
            kind=loaded.kind,
            source="packaged" if loaded.version is None else "registry",
            version=loaded.version,
            digest=loaded.digest,
            since=loaded.since,
            fallback=fallback,
            aside=self.aside,
            input_drift={name: round(index, 4) for name, index in self.drift.items()},
            quality_alarm=round(self.alarm, 4),
        )


def evidence(loaded: LoadedModel, example: Example) -> Count | None:
    """Compares the model's estimate with what became of the task; None if the model says nothing about it."""
    model = loaded.model
    if isinstance(model, QualityModel):
        return _tier_evidence(model, example)
    if isinstance(model, LabelModel):
        return _agent_evidence(model, example)
    return None


def _tier_evidence(model: QualityModel, example: Example) -> Count | None:
    if example.tier not in model.models:
        return None
    expected = float(model.predict(read(example.text)).quality[model.models.index(example.tier)])
    if example.rating is None:
        return Count(example.tenant, "outcome", expected, float(example.succeeded))
    return Count(example.tenant, "rating", expected, example.rating)


def _agent_evidence(model: LabelModel, example: Example) -> Count | None:
    """Counts ratings alone: a task that succeeded does not show that its agent was the right one."""
    scores = model.predict(read(example.text))
    if example.rating is None or not scores.in_scope:
        return None
    best = scores.best
    names = {model.labels[best], model.group_names[model.groups[best]]}
    if example.expected:
        right = example.expected in names
    elif names & {example.manifest, example.pool}:
        right = example.rating >= GOOD
    else:
        return None
    return Count(example.tenant, "rating", float(scores.likely[best]), float(right))
