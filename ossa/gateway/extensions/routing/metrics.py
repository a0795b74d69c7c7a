"""What decides and how it holds, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from ossa.contracts.routing import ModelKind
from ossa.observability import AtMost, MetricGroup, counter, gauge
from ossa.routing.registry import RouterMeter

KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
SOURCES = ("registry", "packaged", "rules")


class RoutingMetrics(MetricGroup, RouterMeter):
    """Counts decisions and the models behind them."""

    decisions = counter("ossa_routing_decisions_total", "Decisions, by what scored", router=("learned", "rules"))
    serving = gauge("ossa_routing_serving", "1 for what serves for a kind of model", kind=KINDS, source=SOURCES)
    aside = gauge("ossa_routing_set_aside", "1 while rules decide in a model's place", kind=KINDS)
    swaps = counter("ossa_routing_swaps_total", "Models swapped in for another one", kind=KINDS)
    refusals = counter("ossa_routing_refused_total", "Promoted models that could not be used", kind=KINDS)
    drift = gauge(
        "ossa_routing_input_drift",
        "Population stability index of inputs",
        unit="index",
        kind=KINDS,
        input=AtMost(100, "inputs of a model"),
    )
    alarm = gauge(
        "ossa_routing_quality_alarm",
        "Evidence that answers are worse than expected; 1: set aside",
        unit="share",
        kind=KINDS,
    )
    failures = counter("ossa_routing_registry_failures_total", "Rounds that did not reach the registry")

    def decided(self, router: str) -> None:
        """`router`: as the decision names it, models by digest; counted as `learned` or `rules`."""
        self.decisions.labels("rules" if router == "rules" else "learned").inc()

    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None:
        for name in SOURCES:
            self.serving.labels(kind, name).set(name == source)
        self.aside.labels(kind).set(aside)

    def swapped(self, kind: ModelKind) -> None:
        self.swaps.labels(kind).inc()

    def refused(self, kind: ModelKind) -> None:
        self.refusals.labels(kind).inc()

    def drifted(self, kind: ModelKind, drift: Mapping[str, float], alarm: float) -> None:
        for name, index in drift.items():
            self.drift.labels(kind, name).set(index)
        self.alarm.labels(kind).set(alarm)

    def failed(self) -> None:
        self.failures.inc()
