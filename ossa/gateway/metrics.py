"""What a gateway replica counts, in Prometheus' text format."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ossa.caching.guarded import CacheCounts
from ossa.contracts.task import TaskStatus
from ossa.observability import AtMost, MetricGroup, counter, gauge, histogram

T = TypeVar("T")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
ROUTES = AtMost(100, "routes of the API")
POOLS = AtMost(64, "pools")
JOURNAL_CALLS = AtMost(20, "calls of the journal")
LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
JOURNAL_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class GatewayMetrics(MetricGroup):
    """One registry a replica; nothing global, so that two apps in one process do not mix.

    Args:
        replica: goes onto each series as a label: behind one address a scrape meets one replica after the other,
            and without it their counters would look like one that jumps back.
    """

    requests = counter(
        "ossa_gateway_requests_total",
        "Answered HTTP requests",
        method=METHODS,
        route=ROUTES,
        status=AtMost(60, "HTTP statuses"),
    )
    latency = histogram("ossa_gateway_request_seconds", "Until the last byte", buckets=LATENCY_BUCKETS_S, route=ROUTES)
    inflight = gauge("ossa_gateway_inflight_requests", "HTTP requests being answered")
    turns = gauge("ossa_gateway_running_tasks", "Tasks this replica owns and runs")
    tasks = counter(
        "ossa_gateway_tasks_total",
        "Ended tasks",
        status=(TaskStatus.SUCCEEDED.value, TaskStatus.FAILED.value, TaskStatus.CANCELLED.value),
        pool=POOLS,
    )
    tokens = counter("ossa_gateway_tokens_total", "Model tokens", kind=("prompt", "completion"), pool=POOLS)
    cost = counter("ossa_gateway_cost_usd_total", "Cost of model calls in USD", pool=POOLS)
    takeovers = counter("ossa_gateway_takeovers_total", "Turns whose agent was lost")
    fenced = counter("ossa_gateway_fenced_total", "Tasks another owner took from this replica")
    leases_lost = counter("ossa_gateway_leases_lost_total", "Leases that could not be renewed")
    failures = counter(
        "ossa_gateway_loop_failures_total", "Failed rounds of a loop", loop=AtMost(100, "loops and hooks")
    )
    journal = histogram("ossa_gateway_journal_seconds", "Journal calls", buckets=JOURNAL_BUCKETS_S, call=JOURNAL_CALLS)
    journal_errors = counter("ossa_gateway_journal_errors_total", "Journal unavailable", call=JOURNAL_CALLS)
    open_tasks = gauge("ossa_gateway_open_tasks", "Tasks queued or running, all replicas")
    agents = gauge("ossa_gateway_agents", "Agents as this replica sees them", pool=POOLS, state=AtMost(8, "states"))

    def __init__(self, replica: str = "gateway") -> None:
        self._replica = replica
        self.registry = CollectorRegistry()
        self._groups: dict[Any, Any] = {}
        super().__init__(self.registry)

    def group(self, kind: Callable[[CollectorRegistry], T]) -> T:
        """Returns the metrics of a system on this registry. Each class is created once."""
        if kind not in self._groups:
            self._groups[kind] = kind(self.registry)
        group: T = self._groups[kind]
        return group

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


EVERY_S = 5.0
ROOMS = AtMost(8, "caches")


class CacheMetrics(MetricGroup):
    endpoint = "both"

    hits = counter(
        "ossa_cache_hits_total", "Found in the process or the shared cache", room=ROOMS, where=("front", "shared")
    )
    misses = counter("ossa_cache_misses_total", "Found in neither", room=ROOMS)
    errors = counter("ossa_cache_errors_total", "Done without the shared cache", room=ROOMS, how=("failed", "rested"))
    coalesced = counter("ossa_cache_coalesced_total", "Gets that waited for another's", room=ROOMS)
    breaker = gauge("ossa_cache_breaker", "The worst place: 0 closed, 1 half open, 2 open", room=ROOMS)


COUNTERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("front_hits", "hits", {"where": "front"}),
    ("shared_hits", "hits", {"where": "shared"}),
    ("misses", "misses", {}),
    ("failed", "errors", {"how": "failed"}),
    ("rested", "errors", {"how": "rested"}),
    ("coalesced", "coalesced", {}),
)
"""Attribute of `CacheCounts`, metric, and its labels besides `room`."""


def watch_cache(registry: CollectorRegistry, rooms: Mapping[str, CacheCounts]) -> None:
    """Adds the metrics of caches to a registry. They are read when it is scraped."""
    registry.register(_CacheCollector(rooms))


class _CacheCollector(Collector):
    def __init__(self, rooms: Mapping[str, CacheCounts]) -> None:
        self._rooms = rooms

    def collect(self) -> Iterator[Metric]:
        families = {name: spec.family() for name, spec in CacheMetrics.specs().items()}
        for room, counts in self._rooms.items():
            for attribute, metric, labels in COUNTERS:
                families[metric].add_metric((room, *labels.values()), getattr(counts, attribute))
            families["breaker"].add_metric((room,), counts.breaker)
        yield from families.values()


async def meter_cache(room: str, counts: CacheCounts, *, every_s: float = EVERY_S) -> None:
    """Counts on Ray's own metrics endpoint what a cache did, every `every_s`, until it is cancelled."""
    metrics = CacheMetrics.on_ray()
    counted = {attribute: 0 for attribute, _, _ in COUNTERS}
    while True:
        for attribute, metric, labels in COUNTERS:
            now = getattr(counts, attribute)
            if now > counted[attribute]:
                metrics[metric].inc(now - counted[attribute], tags={"room": room, **labels})
            counted[attribute] = now
        metrics["breaker"].set(counts.breaker, tags={"room": room})
        await asyncio.sleep(every_s)
