"""A room of the shared cache, from settings."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ossa.caching.guarded import CacheCounts, GuardedCache
from ossa.contracts.configuration import CacheSettings

if TYPE_CHECKING:
    from ossa.contracts.cache import BatchStore


def shared_cache(settings: CacheSettings, *, room: str, rng: random.Random | None = None) -> GuardedCache | None:
    """For one event loop; None when no Redis is named. It connects when it is first used.

    Raises `InvalidRequest` that names the setting.
    """
    from ossa.caching.coalescing import CoalescingCache

    dsn = settings.dsn.get_secret_value()
    if not dsn:
        return None
    counts = CacheCounts()
    redis = _redis(settings, dsn, room)
    store = CoalescingCache(redis, answer_s=settings.answer_s, counts=counts, rng=rng or random.Random())
    return GuardedCache(
        store,
        room=room,
        answer_s=None,  # the one below sees to it, for all callers at once
        failures=settings.failures,
        rest_s=settings.rest_s,
        place=store.place,
        counts=counts,
    )


def _redis(settings: CacheSettings, dsn: str, room: str) -> BatchStore:
    # Half a second to import, for those alone who use it.
    from ossa.stores.redis.address import RedisAddress, RedisTls
    from ossa.stores.redis.cache import RedisCache, RedisClusterCache

    tls = RedisTls(settings.ca_file, settings.certificate_file, settings.key_file)
    cluster = RedisAddress.parse(dsn, cluster=settings.cluster, tls=tls).cluster
    return (RedisClusterCache if cluster else RedisCache)(
        dsn,
        room=room,
        answer_s=settings.answer_s,
        max_connections=settings.max_connections,
        tls=tls,
    )
