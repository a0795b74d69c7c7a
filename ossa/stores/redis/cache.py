"""A shared cache in one Redis, or in a Redis cluster.

Of the driver the cluster's cache uses connections and pipelines, not its cluster client: that one never gives a
connection back whose pipeline was cancelled, and mends itself by closing all others and waiting a quarter of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from ossa.contracts.cache import CacheAct, CacheOutcome
from ossa.contracts.errors import InvalidRequest
from ossa.stores.redis.address import Host, RedisAddress, RedisTls
from ossa.stores.redis.failure import DRIVER_ERRORS, translated
from ossa.stores.redis.plan import OneByOne, Step, outcomes, plan, slot
from ossa.stores.redis.topology import Command, Server, Topology


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


TRIES = 3


@dataclass(frozen=True, slots=True)
class Try:
    """A command, and the server it goes to. `asking`: the slot is on its way there."""

    step: Step
    host: Host | None
    asking: bool = False


class RedisClusterCache(OneByOne):
    """`ossa.contracts.cache.BatchStore`, for one event loop. A tenant's entries are in one slot, on one server.

    Follows slots that moved or are moving, and a failover once the cluster has made it; until then what the lost
    server had raises `StoreUnavailable`, and all else goes on.

    Args:
        dsn: `redis+cluster://` or `rediss+cluster://`, with the password and some of the servers; never shown.
            `redis://` and `rediss://` with one of them do too.
        room: whose cache it is; two rooms share nothing.
        answer_s: how long an act may take, with all its tries.
        max_connections: to each server.

    Raises `InvalidRequest` for a DSN that is none.
    """

    def __init__(
        self, dsn: str, *, room: str, answer_s: float = 0.25, max_connections: int = 8, tls: RedisTls | None = None
    ) -> None:
        self._room = room
        self._answer_s = answer_s
        address = RedisAddress.parse(dsn, cluster=True, tls=tls)
        if not address.hosts:
            raise InvalidRequest("A cluster needs the address of one of its servers.", "cache.dsn")

        def connect(host: Host) -> Server:
            options: dict[str, Any] = {**address.options, "host": host[0], "port": host[1]}
            return Server(options, answer_s=answer_s, max_connections=max_connections)

        self._topology = Topology(address.hosts, connect, look_s=answer_s / 2)

    def __repr__(self) -> str:
        return f"RedisClusterCache(room={self._room!r})"

    def place(self, tenant: str) -> str:
        host = self._topology.master(slot(tenant))
        return f"{host[0]}:{host[1]}" if host is not None else ""

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        steps = plan(acts, self._room, together=slot)
        for step in steps:
            step.answer = TimeoutError()  # until there is another answer
        with translated():
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._topology.ready()
                    await self._run(steps)
            except TimeoutError:
                self._topology.doubt()  # it may have hung for ever, and another one have taken its place
        return outcomes(steps, len(acts))

    async def ping(self) -> None:
        """Raises `StoreUnavailable` unless all masters answer."""
        with translated():
            async with asyncio.timeout(self._answer_s):
                await self._topology.ready()
                await asyncio.gather(*(self._topology.server(host).ping() for host in self._topology.masters()))

    async def close(self) -> None:
        with translated():
            await self._topology.close()

    async def _run(self, steps: list[Step]) -> None:
        tries = [Try(step, self._master(step)) for step in steps]
        for _ in range(TRIES):
            by_server: dict[tuple[Host, bool], list[Step]] = {}
            for one in tries:
                if one.host is None:
                    one.step.answer = ClusterDownError("nobody has the slot")
                    self._topology.doubt()
                else:
                    by_server.setdefault((one.host, one.asking), []).append(one.step)
            await asyncio.gather(*(self._send(host, those, asking) for (host, asking), those in by_server.items()))
            if any(_is_lost(one.step) for one in tries):
                await self._topology.ready()
            tries = [again for one in tries if (again := self._again(one)) is not None]
            if not tries:
                return

    async def _send(self, host: Host, steps: list[Step], asking: bool) -> None:
        """Leaves an answer, or the error there was instead, with each step."""
        commands: list[Command] = []
        for step in steps:
            commands += [("ASKING",), step.command] if asking else [step.command]
        try:
            answers = await self._topology.server(host).run(commands)
        except DRIVER_ERRORS as error:
            self._topology.doubt()
            answers = [error] * len(commands)
        for step, answer in zip(steps, answers[1::2] if asking else answers, strict=True):
            step.answer = answer

    def _again(self, one: Try) -> Try | None:
        """Where to try it once more; None when it is answered, or nobody else is known to have it."""
        step, answer = one.step, one.step.answer
        if one.host is None or not isinstance(answer, BaseException):
            return None
        if isinstance(answer, MovedError):  # in the driver's eyes a kind of `AskError`
            self._topology.moved(answer.slot_id, (answer.host or one.host[0], answer.port))
            return Try(step, self._master(step))
        if isinstance(answer, AskError):
            return Try(step, (answer.host or one.host[0], answer.port), asking=True)
        if isinstance(answer, TryAgainError):
            return one
        if isinstance(answer, ClusterDownError):
            self._topology.doubt()
        if _is_lost(step) and (master := self._master(step)) != one.host:
            return Try(step, master)
        return None

    def _master(self, step: Step) -> Host | None:
        return self._topology.master(slot(step.tenant))


def _is_lost(step: Step) -> bool:
    """Nothing was answered, where a server that lives answers something."""
    return isinstance(step.answer, BaseException) and not isinstance(step.answer, ResponseError)
