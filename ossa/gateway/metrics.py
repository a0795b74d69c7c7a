"""What a gateway replica counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from ossa.contracts.task import Outcome

T = TypeVar("T")
LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
JOURNAL_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class GatewayMetrics:
    """One registry a replica; nothing global, so that two apps in one process do not mix.

    Args:
        replica: goes onto each series as a label: behind one address a scrape meets one replica after the other,
            and without it their counters would look like one that jumps back.
    """

    def __init__(self, replica: str = "gateway") -> None:
        self._replica = replica
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter(
            "ossa_gateway_requests_total", "Answered HTTP requests", ("method", "route", "status"), registry=r
        )
        self.latency = Histogram(
            "ossa_gateway_request_seconds",
            "Until the last byte",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=r,
        )
        self.inflight = Gauge("ossa_gateway_inflight_requests", "HTTP requests being answered", registry=r)
        self.turns = Gauge("ossa_gateway_running_tasks", "Tasks this replica owns and runs", registry=r)
        self.tasks = Counter("ossa_gateway_tasks_total", "Ended tasks", ("status", "pool"), registry=r)
        self.tokens = Counter("ossa_gateway_tokens_total", "Model tokens", ("kind", "pool"), registry=r)
        self.cost = Counter("ossa_gateway_cost_usd_total", "Cost of model calls in USD", ("pool",), registry=r)
        self.takeovers = Counter("ossa_gateway_takeovers_total", "Turns whose agent was lost", registry=r)
        self.fenced = Counter("ossa_gateway_fenced_total", "Tasks another owner took from this replica", registry=r)
        self.leases_lost = Counter("ossa_gateway_leases_lost_total", "Leases that could not be renewed", registry=r)
        self.failures = Counter("ossa_gateway_loop_failures_total", "Failed rounds of a loop", ("loop",), registry=r)
        self.journal = Histogram(
            "ossa_gateway_journal_seconds", "Journal calls", ("call",), buckets=JOURNAL_BUCKETS_S, registry=r
        )
        self.journal_errors = Counter("ossa_gateway_journal_errors_total", "Journal unavailable", ("call",), registry=r)
        self.open_tasks = Gauge("ossa_gateway_open_tasks", "Tasks queued or running, all replicas", registry=r)
        self.agents = Gauge("ossa_gateway_agents", "Agents as this replica sees them", ("pool", "state"), registry=r)

        self._groups: dict[type[Any], Any] = {}

    def group(self, kind: type[T]) -> T:
        """The metrics of a system, on this registry: one object a class, made when first asked for."""
        if kind not in self._groups:
            self._groups[kind] = kind(self.registry)  # type: ignore[call-arg]
        group: T = self._groups[kind]
        return group

    def ended(self, outcome: Outcome) -> None:
        """Count a finished task. The cost counter takes no negative prices."""
        pool = outcome.pool or ""
        usage = outcome.usage
        self.tasks.labels(outcome.status.value, pool).inc()
        self.tokens.labels("prompt", pool).inc(max(0, usage.prompt_tokens))
        self.tokens.labels("completion", pool).inc(max(0, usage.completion_tokens))
        self.cost.labels(pool).inc(max(0.0, usage.cost_usd))

    def text(self) -> bytes:
        return generate_latest(_Labelled(self.registry, {"replica": self._replica}))


class _Labelled(CollectorRegistry):
    """Another registry's families, with more labels on each sample."""

    def __init__(self, registry: CollectorRegistry, labels: dict[str, str]) -> None:
        super().__init__()
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample._replace(labels={**sample.labels, **self._labels}) for sample in family.samples]
            yield family
