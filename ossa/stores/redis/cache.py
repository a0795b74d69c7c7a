"""A shared cache in Redis."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ossa.stores.lifetime import check_size, milliseconds
from ossa.stores.redis.failure import translated
from ossa.stores.redis.naming import entry


class RedisCache:
    """`ossa.contracts.cache.CacheStore`, for one event loop. Connects when first used, and again after a loss.

    Args:
        dsn: `redis://`, `rediss://` or `unix://`, with the password; never shown.
        room: whose cache it is; two rooms share nothing.
        answer_s: how long connecting, and each answer, may take.
        max_connections: further callers wait for one, up to `answer_s`.
    """

    def __init__(self, dsn: str, *, room: str, answer_s: float = 0.25, max_connections: int = 8) -> None:
        self._room = room
        pool = BlockingConnectionPool.from_url(
            dsn,
            max_connections=max_connections,
            timeout=answer_s,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
            # Once more at once: a connection that lay idle may have been closed by the server.
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            client_name="ossa",
            decode_responses=False,
        )
        self._redis: Redis = Redis.from_pool(pool)

    def __repr__(self) -> str:
        return f"RedisCache(room={self._room!r})"

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        with translated():
            found: bytes | None = await self._redis.get(entry(tenant, self._room, key))
            return found

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        check_size(value)
        lifetime_ms = milliseconds(ttl_s)
        with translated():
            await self._redis.set(entry(tenant, self._room, key), value, px=lifetime_ms)

    async def drop(self, key: str, *, tenant: str) -> None:
        with translated():
            await self._redis.delete(entry(tenant, self._room, key))

    async def ping(self) -> None:
        with translated():
            await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        with translated():
            await self._redis.aclose()
