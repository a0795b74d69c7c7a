"""Connects a fleet's processes to what they share: PostgreSQL, the cache in Redis, and the event bus."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ossa.caching.guarded import CacheCounts, GuardedCache
from ossa.contracts.configuration import CacheSettings, Database
from ossa.contracts.errors import InvalidRequest
from ossa.settings import Settings, WrongSetting
from ossa.stores.postgres import LEAST_CONNECTIONS
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.schema import Condition, condition, make_roles, migrate, roles_sql

if TYPE_CHECKING:
    from ossa.contracts.cache import BatchStore
    from ossa.contracts.configuration import EventSettings
    from ossa.contracts.events import EventBus

SPARE = 5
"""For the start of a fleet, jobs, and an operator's own session."""

EMBEDDED_TOTAL = 90
"""The embedded server takes 100 of all kinds."""

_OTHERS = 2
"""The controller and the forecaster. Agents hold none, however many there are."""


def shared(settings: Settings, *, embedded: bool = False) -> Database:
    """The database's settings for one process: with a pool of which as many as there are processes fit the total.

    A share that would be too small for the journal's writers and one reader raises `InvalidRequest`.

    Args:
        embedded: the server is our own.
    """
    database = settings.database
    total = min(database.pool_total, EMBEDDED_TOTAL) if embedded else database.pool_total
    processes = holders(settings)
    share = (total - SPARE) // processes
    if share < LEAST_CONNECTIONS:
        raise InvalidRequest(
            f"{processes} processes need {LEAST_CONNECTIONS} connections to PostgreSQL each and {SPARE} to spare, and "
            f"{total} is all there are: {_remedy(embedded=embedded)}",
            param="database.pool_total",
        )
    return database.model_copy(update={"pool_max": min(database.pool_max, share)})


def holders(settings: Settings) -> int:
    """Processes that hold connections."""
    gateway = settings.gateway
    memory = settings.memory.replicas if settings.memory.enabled else 0
    return gateway.replicas + gateway.vortex_replicas + gateway.router_replicas + memory + _OTHERS


def _remedy(*, embedded: bool) -> str:
    fewer = (
        "lower OSSA_GATEWAY__REPLICAS (or OSSA_GATEWAY__VORTEX_REPLICAS, OSSA_GATEWAY__ROUTER_REPLICAS, "
        "OSSA_MEMORY__REPLICAS)"
    )
    if embedded:
        return f"{fewer}, or set OSSA_DATABASE__DSN to a server of your own."
    return f"raise OSSA_DATABASE__POOL_TOTAL (200 at most) or {fewer}."


__all__ = ["Condition", "check_database", "make_database_roles", "migrate_database", "roles_sql"]


def check_database(database: Database, dsn: str) -> Condition:
    """Raises `StoreUnavailable`, `InvalidRequest`."""
    return asyncio.run(condition(database, dsn))


def migrate_database(database: Database, dsn: str) -> list[str]:
    """Names of what was applied. Raises as `check_database`."""
    return [one.name for one in asyncio.run(migrate(Server(dsn, database)))]


def make_database_roles(database: Database, admin_dsn: str) -> None:
    """Raises as `check_database`."""
    asyncio.run(make_roles(database, admin_dsn))


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


def event_bus(settings: EventSettings) -> EventBus | None:
    """None where nothing is told."""
    if not settings.emits_events:
        return None
    # A tenth of a second to import, for those alone who use it.
    from ossa.stores.kafka import KafkaBus

    return KafkaBus(settings)


def bus_of_settings() -> EventBus:
    """For a command that talks to Kafka itself. Raises `WrongSetting` where no Kafka is named."""
    settings = Settings().events
    if not settings.bootstrap_servers:
        raise WrongSetting(
            "OSSA_EVENTS__BOOTSTRAP_SERVERS: set it to the Kafka's HOST:PORT; `ossa events status` shows that of a mock"
        )
    bus = event_bus(settings)
    if bus is None:
        raise WrongSetting("OSSA_EVENTS__ENABLED: it is false, so there are no events")
    return bus
