"""What the caches do, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ossa.caching.counts import CacheCounts


def watch_cache(registry: CollectorRegistry, rooms: Mapping[str, CacheCounts]) -> None:
    """`ossa_cache_{hits,misses,errors,coalesced}_total` and `ossa_cache_breaker`, read when they are scraped."""
    registry.register(_CacheCollector(rooms))


class _CacheCollector(Collector):
    def __init__(self, rooms: Mapping[str, CacheCounts]) -> None:
        self._rooms = rooms

    def collect(self) -> Iterator[Metric]:
        hits = CounterMetricFamily(
            "ossa_cache_hits", "Found in the process or the shared cache", labels=("room", "where")
        )
        misses = CounterMetricFamily("ossa_cache_misses", "Found in neither", labels=("room",))
        errors = CounterMetricFamily("ossa_cache_errors", "Done without the shared cache", labels=("room", "how"))
        coalesced = CounterMetricFamily("ossa_cache_coalesced", "Gets that waited for another's", labels=("room",))
        breaker = GaugeMetricFamily(
            "ossa_cache_breaker", "The worst place: 0 closed, 1 half open, 2 open", labels=("room",)
        )
        for room, counts in self._rooms.items():
            hits.add_metric((room, "front"), counts.front_hits)
            hits.add_metric((room, "shared"), counts.shared_hits)
            misses.add_metric((room,), counts.misses)
            errors.add_metric((room, "failed"), counts.failed)
            errors.add_metric((room, "rested"), counts.rested)
            coalesced.add_metric((room,), counts.coalesced)
            breaker.add_metric((room,), counts.breaker)
        yield from (hits, misses, errors, coalesced, breaker)
