"""What decides and how it holds, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from ossa.contracts.routing import ModelKind
from ossa.routing.registry import RouterMeter

SOURCES = ("registry", "packaged", "rules")


class RoutingMetrics(RouterMeter):
    """Counts decisions and the models behind them on a replica's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self.decisions = Counter("ossa_routing_decisions_total", "Decisions, by what scored", ("router",), registry=r)
        self.serving = Gauge(
            "ossa_routing_serving", "1 for what serves for a kind of model", ("kind", "source"), registry=r
        )
        self.aside = Gauge("ossa_routing_set_aside", "1 while rules decide in a model's place", ("kind",), registry=r)
        self.swaps = Counter("ossa_routing_swaps_total", "Models swapped in for another one", ("kind",), registry=r)
        self.refusals = Counter(
            "ossa_routing_refused_total", "Promoted models that could not be used", ("kind",), registry=r
        )
        self.drift = Gauge(
            "ossa_routing_input_drift", "Population stability index of inputs", ("kind", "input"), registry=r
        )
        self.alarm = Gauge(
            "ossa_routing_quality_alarm", "Evidence that answers are worse than expected; 1: set aside", ("kind",),
            registry=r,
        )  # fmt: skip
        self.failures = Counter(
            "ossa_routing_registry_failures_total", "Rounds that did not reach the registry", registry=r
        )

    def decided(self, router: str) -> None:
        """`router`: as the decision names it, models by digest; counted as `learned` or `rules`."""
        self.decisions.labels("rules" if router == "rules" else "learned").inc()

    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None:
        for one in SOURCES:
            self.serving.labels(kind, one).set(one == source)
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
