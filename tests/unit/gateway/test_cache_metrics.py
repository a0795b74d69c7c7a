from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from ossa.caching.guarded import GuardedCache
from ossa.gateway.metrics import watch_cache
from ossa.testing.stores.tiers import MemoryCache
from ossa.vortex.exchange.cache import Held, TieredCache


async def test_what_a_cache_did_is_on_the_replicas_metrics() -> None:
    registry, store = CollectorRegistry(), MemoryCache()
    cache = TieredCache(GuardedCache(store, failures=2, rest_s=1e6))
    watch_cache(registry, {"exchange": cache.shared})
    for key in ("k", "k", "other"):
        await cache.get(key, tenant="t", now=1.0, lifetime_s=60)
        await cache.put("k", Held("v", 1.0), tenant="t", lifetime_s=60)
    cache.near("k", tenant="t", now=1.0)
    store.go_down()
    for _ in range(5):
        await cache.get("k", tenant="t", now=1.0, lifetime_s=60)
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'ossa_cache_hits_total{room="exchange",where="shared"} 1.0',
        'ossa_cache_hits_total{room="exchange",where="front"} 1.0',
        'ossa_cache_misses_total{room="exchange"} 2.0',
        'ossa_cache_errors_total{how="failed",room="exchange"} 2.0',
        'ossa_cache_errors_total{how="rested",room="exchange"} 3.0',
        'ossa_cache_coalesced_total{room="exchange"} 0.0',
        'ossa_cache_breaker{room="exchange"} 2.0',
    ):
        assert line in lines, "\n".join(lines)
