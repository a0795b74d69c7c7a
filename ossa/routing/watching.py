"""One model under watch: its inputs, its quality, and whether it is set aside."""

from __future__ import annotations

from collections.abc import Iterable

from ossa.contracts.routing import Example, ModelStatus
from ossa.routing.drift import Bounds, InputWatch, reference_of, verdict
from ossa.routing.live_quality import evidence, look_at
from ossa.routing.model_scorer import LoadedModel
from ossa.routing.tally import Tally


class Watching:
    """Begins anew with every model. `look` and `learn` cost milliseconds a hundred texts: call them in a thread.

    Raises `ValueError` or `TypeError` for a card whose reference is no numbers.
    """

    def __init__(self, loaded: LoadedModel, bounds: Bounds) -> None:
        self.loaded = loaded
        self.aside = ""
        self.alarm = 0.0
        """1: set aside."""
        self._bounds = bounds
        self._inputs = InputWatch(reference_of(loaded.card), bounds)
        self._tally = Tally(bounds)

    @property
    def drift(self) -> dict[str, float]:
        return self._inputs.drift()

    def look(self, texts: Iterable[str]) -> None:
        """At requests that came in."""
        if self._inputs.reference:
            for values in look_at(self.loaded.model, texts):
                self._inputs.see(values)

    def learn(self, examples: Iterable[Example]) -> None:
        """From tasks that ended or were rated since this model is in use."""
        for example in examples:
            if example.at >= self.loaded.since:
                self._tally.count(example.task_id, example.tenant, evidence(self.loaded, example))
        self.alarm = self._tally.alarm()

    def judge(self) -> str:
        """Why the model is set aside from now on; empty: it decides."""
        self.aside = verdict(self.drift, self.alarm, self._bounds, aside=bool(self.aside))
        return self.aside

    def status(self, fallback: str) -> ModelStatus:
        """`fallback`: why it is not what was promoted."""
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
