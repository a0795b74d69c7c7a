"""Metrics of the caches: read at a scrape on the gateway's `/metrics`, counted in rounds on Ray's own endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ossa.caching.guarded import CacheCounts
from ossa.observability import AtMost, MetricGroup, counter, gauge

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
