"""One model under watch: its inputs, its quality, and whether it is set aside."""

from __future__ import annotations

from collections.abc import Iterable

from ossa.contracts.routing import Example
from ossa.routing.drift import Bounds, InputWatch, QualityWatch, reference_of, verdict
from ossa.routing.live_quality import Stream, evidence, look_at
from ossa.routing.model_scorer import LoadedModel


class Watching:
    """Begins anew with every model. `look` and `learn` cost milliseconds a hundred texts: call them in a thread."""

    def __init__(self, loaded: LoadedModel, bounds: Bounds) -> None:
        self.loaded = loaded
        self.aside = ""
        self._bounds = bounds
        self._inputs = InputWatch(reference_of(loaded.card), bounds)
        self._quality: dict[Stream, QualityWatch] = {}

    @property
    def drift(self) -> dict[str, float]:
        return self._inputs.drift()

    @property
    def alarm(self) -> float:
        return max((watch.alarm for watch in self._quality.values()), default=0.0)

    def look(self, texts: Iterable[str]) -> None:
        """At requests that came in."""
        if self._inputs.reference:
            for values in look_at(self.loaded.model, texts):
                self._inputs.see(values)

    def learn(self, examples: Iterable[Example]) -> None:
        """From tasks that ended or were rated since this model is in use."""
        for example in examples:
            if example.at < self.loaded.since:
                continue
            for stream, expected, actual in evidence(self.loaded, example):
                self._quality[stream] = self._quality.get(stream, QualityWatch(self._bounds)).see(expected, actual)

    def judge(self) -> str:
        """Why the model is set aside from now on; empty: it decides."""
        self.aside = verdict(self.drift, self.alarm, self._bounds, aside=bool(self.aside))
        return self.aside
