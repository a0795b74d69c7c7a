"""Groups of metrics. A group declares its metrics as class attributes and creates them on a registry:

class BudgetMetrics(MetricGroup):
    overrun = counter("ossa_budget_overrun_usd_total", "Cost beyond what was reserved")
    warnings = counter("ossa_budget_warnings_total", "Grants above a soft limit", budget=AtMost(1000, "budgets"))

BudgetMetrics(registry).overrun.inc(0.2)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

if TYPE_CHECKING:  # agents declare metrics for Ray's endpoint and do without this package
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Kind = Literal["counter", "gauge", "histogram"]
UNITS = ("seconds", "milliseconds", "usd", "bytes", "tokens")


@dataclass(frozen=True)
class AtMost:
    """A label has at most `count` values, one for each of `what`."""

    count: int
    what: str

    def __str__(self) -> str:
        return f"at most {self.count}: {self.what}"


Bound = tuple[str, ...] | AtMost
"""The values of a label: all of them, or how many there may be."""


@dataclass(frozen=True)
class MetricSpec:
    """The declaration of one metric.

    Attributes:
        labels: label -> bound, in the order in which `labels()` takes their values.
        unit: empty for a plain count, a flag or a state.
    """

    name: str
    kind: Kind
    help: str
    unit: str
    labels: Mapping[str, Bound]
    buckets: tuple[float, ...] = ()

    def create(self, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
        from prometheus_client import Counter, Gauge, Histogram

        if self.kind == "counter":
            return Counter(self.name, self.help, tuple(self.labels), registry=registry)
        if self.kind == "gauge":
            return Gauge(self.name, self.help, tuple(self.labels), registry=registry)
        return Histogram(self.name, self.help, tuple(self.labels), buckets=self.buckets, registry=registry)

    def create_on_ray(self) -> Any:
        """Creates the metric on Ray's own endpoint."""
        from ray.util import metrics

        labels = tuple(self.labels)
        if self.kind == "histogram":
            return metrics.Histogram(self.name, self.help, list(self.buckets), labels)
        return (metrics.Counter if self.kind == "counter" else metrics.Gauge)(self.name, self.help, labels)

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Returns an empty family, for a collector that reads values when they are scraped."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        family = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return family(self.name, self.help, labels=tuple(self.labels))


def counter(name: str, help: str, *, unit: str | None = None, **labels: Bound) -> Counter:
    """Declares a counter. Its name ends in `_total`."""
    return cast("Counter", _spec(name, "counter", help, unit, labels))


def gauge(name: str, help: str, *, unit: str | None = None, **labels: Bound) -> Gauge:
    return cast("Gauge", _spec(name, "gauge", help, unit, labels))


def histogram(name: str, help: str, *, buckets: Sequence[float], unit: str | None = None, **labels: Bound) -> Histogram:
    return cast("Histogram", _spec(name, "histogram", help, unit, labels, tuple(buckets)))


def _spec(
    name: str, kind: Kind, help: str, unit: str | None, labels: Mapping[str, Bound], buckets: tuple[float, ...] = ()
) -> MetricSpec:
    if unit is None:
        unit = next((word for word in UNITS if name.removesuffix("_total").endswith(f"_{word}")), "")
    return MetricSpec(name, kind, help, unit, labels, buckets)


class MetricGroup:
    """The metrics of one system on a registry.

    Attributes:
        endpoint: where they can be scraped: the gateway's `/metrics`, or Ray's own endpoint.
    """

    endpoint: ClassVar[Literal["gateway", "ray", "both"]] = "gateway"

    def __init__(self, registry: CollectorRegistry) -> None:
        for attribute, spec in self.specs().items():
            setattr(self, attribute, spec.create(registry))

    @classmethod
    def specs(cls) -> dict[str, MetricSpec]:
        """Returns the declared metrics by attribute."""
        return {name: spec for name, spec in vars(cls).items() if isinstance(spec, MetricSpec)}

    @classmethod
    def on_ray(cls) -> dict[str, Any]:
        """Creates the metrics on Ray's own endpoint and returns them by attribute."""
        return {name: spec.create_on_ray() for name, spec in cls.specs().items()}


def all_metrics() -> list[tuple[type[MetricGroup], MetricSpec]]:
    """Returns the metrics of every group whose module was imported, by name."""
    declared = [(group, spec) for group in _subclasses(MetricGroup) for spec in group.specs().values()]
    return sorted(declared, key=lambda item: item[1].name)


def _subclasses(group: type[MetricGroup]) -> Iterator[type[MetricGroup]]:
    for subclass in group.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
