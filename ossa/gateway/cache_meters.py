"""What a cache of a deployment does, on Ray's own metrics endpoint."""

from __future__ import annotations

import asyncio

from ossa.caching.counts import CacheCounts

EVERY_S = 5.0


async def meter_cache(room: str, counts: CacheCounts, *, every_s: float = EVERY_S) -> None:
    """Until it is cancelled: `ossa_cache_{hits,misses,errors,coalesced}_total` and `ossa_cache_breaker`."""
    from ray.util import metrics

    hits = metrics.Counter("ossa_cache_hits_total", "Found in the process or the shared cache.", ("room", "where"))
    misses = metrics.Counter("ossa_cache_misses_total", "Found in neither.", ("room",))
    errors = metrics.Counter("ossa_cache_errors_total", "Done without the shared cache.", ("room", "how"))
    coalesced = metrics.Counter("ossa_cache_coalesced_total", "Gets that waited for another's.", ("room",))
    breaker = metrics.Gauge("ossa_cache_breaker", "The worst place: 0 closed, 1 half open, 2 open.", ("room",))
    told = dict.fromkeys(("front_hits", "shared_hits", "misses", "failed", "rested", "coalesced"), 0)
    counters = {
        "front_hits": (hits, {"where": "front"}),
        "shared_hits": (hits, {"where": "shared"}),
        "misses": (misses, {}),
        "failed": (errors, {"how": "failed"}),
        "rested": (errors, {"how": "rested"}),
        "coalesced": (coalesced, {}),
    }
    while True:
        for name, (counter, tags) in counters.items():
            now = getattr(counts, name)
            if now > told[name]:
                counter.inc(now - told[name], tags={"room": room, **tags})
            told[name] = now
        breaker.set(counts.breaker, tags={"room": room})
        await asyncio.sleep(every_s)
