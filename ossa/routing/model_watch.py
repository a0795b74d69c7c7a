"""Watches one model in use: its inputs, its quality, and whether it is set aside."""

from __future__ import annotations

from collections.abc import Iterable

from ossa.contracts.routing import Example, ModelStatus
from ossa.routing.drift import Bounds, InputWatch, reference_of, verdict
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import read
from ossa.routing.loaded_model import LoadedModel, look_at
from ossa.routing.tally import Count, Tally

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
