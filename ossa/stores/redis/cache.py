"""A shared cache in one Redis."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.contracts.cache import CacheAct, CacheOutcome
from ossa.contracts.errors import InvalidRequest
from ossa.stores.redis.address import RedisAddress, RedisTls
from ossa.stores.redis.failure import translated
from ossa.stores.redis.plan import OneByOne, outcomes, plan
from ossa.stores.redis.topology import Server


class RedisCache(OneByOne):
    """`ossa.contracts.cache.BatchStore`, for one event loop. Connects when first used, and again after a loss.

    Args:
        dsn: `redis://`, `rediss://` or `unix://`, with the password; never shown.
        room: whose cache it is; two rooms share nothing.
        answer_s: how long connecting, and each answer, may take.
        max_connections: further callers wait for one, up to `answer_s`.

    Raises `InvalidRequest` for a DSN that is none.
    """

    def __init__(
        self, dsn: str, *, room: str, answer_s: float = 0.25, max_connections: int = 8, tls: RedisTls | None = None
    ) -> None:
        self._room = room
        address = RedisAddress.parse(dsn, tls=tls)
        if address.cluster:
            raise InvalidRequest("This is the address of a cluster.", "cache.dsn")
        self._server = Server(address.options, answer_s=answer_s, max_connections=max_connections)

    def __repr__(self) -> str:
        return f"RedisCache(room={self._room!r})"

    def place(self, tenant: str) -> str:
        return ""

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        steps = plan(acts, self._room, together=lambda tenant: None)
        with translated():
            answers = await self._server.run([step.command for step in steps])
        for step, answer in zip(steps, answers, strict=True):
            step.answer = answer
        return outcomes(steps, len(acts))

    async def ping(self) -> None:
        with translated():
            await self._server.ping()

    async def close(self) -> None:
        with translated():
            await self._server.close()
