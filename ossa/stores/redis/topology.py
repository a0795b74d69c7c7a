"""Redis servers, and which of a cluster has what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ossa.stores.redis.address import Host
from ossa.stores.redis.failure import DRIVER_ERRORS

Command = tuple[str | bytes | int, ...]


class Server:
    """A bounded pool of connections, and pipelines over it. Connects when first used, and again after a loss.

    Args:
        options: the driver's: host, port, user, password, certificates.
        answer_s: how long connecting, and each answer, may take.
        max_connections: further callers wait for one, up to `answer_s`.
    """

    def __init__(self, options: Mapping[str, Any], *, answer_s: float, max_connections: int) -> None:
        pool = BlockingConnectionPool(
            **options,
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

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, an error of the server's as a value. Raises the driver's errors when nothing was answered."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def ping(self) -> None:
        await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]

    async def slots(self) -> list[list[Any]]:
        """As the server sees its cluster: ranges of slots, and who has them."""
        ranges: list[list[Any]] = await self._redis.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        return ranges

    async def close(self) -> None:
        await self._redis.aclose()


SLOTS = 16_384
REFRESH_S = 0.2
"""Between two looks at a cluster that is changing."""


class Topology:
    """The masters, by slot, as some server told it last; and a `Server` for each that was asked.

    Args:
        seeds: servers that are asked first, and when all others are gone.
        connect: makes a server; it need not be there.
        look_s: how long one server may take to say who has what.
    """

    def __init__(self, seeds: tuple[Host, ...], connect: Callable[[Host], Server], *, look_s: float) -> None:
        self._seeds = seeds
        self._connect = connect
        self._look_s = look_s
        self._by_slot: list[Host | None] = [None] * SLOTS
        self._servers: dict[Host, Server] = {}
        self._doubted = True
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    def master(self, slot: int) -> Host | None:
        return self._by_slot[slot]

    def masters(self) -> list[Host]:
        return sorted({host for host in self._by_slot if host is not None})

    def server(self, host: Host) -> Server:
        if host not in self._servers:
            self._servers[host] = self._connect(host)
        return self._servers[host]

    def moved(self, slot: int, host: Host) -> None:
        """A server said that another one has the slot: there may be more of that."""
        self._by_slot[slot] = host
        self._doubted = True

    def doubt(self) -> None:
        """Something failed: it is looked at again before the next use."""
        self._doubted = True

    async def ready(self) -> None:
        """Looks when there is reason to, at most every `REFRESH_S`; without an answer the last view stays.

        Raises the driver's errors when there never was one.
        """
        async with self._looking:
            if not self._doubted or monotonic() - self._looked_at < REFRESH_S:
                return
            self._looked_at = monotonic()
            try:
                await self._look()
            except DRIVER_ERRORS:
                if not self.masters():
                    self._looked_at = float("-inf")
                    raise

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()
        self._servers.clear()

    async def _look(self) -> None:
        failure: BaseException = RedisError("no server was named")
        for host in dict.fromkeys([*self.masters(), *self._seeds]):
            try:
                async with asyncio.timeout(self._look_s):
                    ranges = await self.server(host).slots()
            except DRIVER_ERRORS as error:
                failure = error
                continue
            await self._learn(ranges, host)
            return
        raise failure

    async def _learn(self, ranges: list[list[Any]], told_by: Host) -> None:
        """`found`: first slot, last slot, then its servers as host, port and more, the master first."""
        by_slot: list[Host | None] = [None] * SLOTS
        for first, last, (name, port, *_), *_ in ranges:
            host = ((name or b"").decode() or told_by[0], int(port))
            by_slot[first : last + 1] = [host] * (last + 1 - first)
        self._by_slot = by_slot
        self._doubted = None in by_slot
        for host in self._servers.keys() - set(self.masters()) - set(self._seeds):
            await self._servers.pop(host).close()
