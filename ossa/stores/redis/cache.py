"""A shared cache in one Redis, or in a Redis cluster.

Of the driver the cluster's cache uses connections and pipelines, not its cluster client: that one never gives a
connection back whose pipeline was cancelled, and mends itself by closing all others and waiting a quarter of a second.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.stores.redis.address import Host, RedisAddress, RedisTls
from ossa.stores.redis.failure import DRIVER_ERRORS, translated, unavailable
from ossa.stores.redis.topology import Command, Server, Topology

TENANTS_KNOWN = 4096


def entry(tenant: str, room: str, key: str) -> str:
    """`ossa:{tenant}:room:key`, tenant and key as digests, the tenant's in braces.

    Names may hold colons or anything else, so that written out those of two tenants could meet; a digest also bounds
    the length, and keeps names out of what Redis logs. A cluster places a key by what is in its first braces: all of a
    tenant's are on one server, so that one command gets many.
    """
    return f"ossa:{{{_tag(tenant)}}}:{room}:{_digest(key, 32)}"


@lru_cache(TENANTS_KNOWN)
def slot(tenant: str) -> int:
    """Returns the cluster slot of the tenant's entries."""
    return key_slot(_tag(tenant).encode())


@lru_cache(TENANTS_KNOWN)
def _tag(tenant: str) -> str:
    return _digest(tenant, 16)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


class OneByOne(ABC):
    """Makes each call of a `CacheStore` a batch of one."""

    @abstractmethod
    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]: ...

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        return await self._one(CacheGet(tenant, key))

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        await self._one(CacheSet.checked(tenant, key, value, ttl_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._one(CacheDrop(tenant, key))

    async def _one(self, act: CacheAct) -> bytes | None:
        (outcome,) = await self.batch([act])
        if isinstance(outcome, StoreUnavailable):
            raise outcome
        return outcome


@dataclass(slots=True)
class Step:
    """One command, and which of the acts it does. `answer` is None until there is one."""

    command: Command
    acts: list[int]
    tenant: str
    answer: Any = field(default=None)


def plan(acts: Sequence[CacheAct], room: str, *, together: Callable[[str], Hashable]) -> list[Step]:
    """All reads that may stand in one command first, in one; then the writes, in their order.

    Args:
        together: entries of tenants for which it gives the same may be in one command.
    """
    reads: dict[Hashable, list[int]] = {}
    writes: list[Step] = []
    for number, act in enumerate(acts):
        if isinstance(act, CacheGet):
            reads.setdefault(together(act.tenant), []).append(number)
        elif isinstance(act, CacheDrop):
            writes.append(Step(("DEL", entry(act.tenant, room, act.key)), [number], act.tenant))
        else:
            command = ("SET", entry(act.tenant, room, act.key), act.value, "PX", act.lifetime_ms)
            writes.append(Step(command, [number], act.tenant))
    gets = [
        Step(("MGET", *(entry(acts[n].tenant, room, acts[n].key) for n in numbers)), numbers, acts[numbers[0]].tenant)
        for numbers in reads.values()
    ]
    return gets + writes


def outcomes(steps: Iterable[Step], count: int) -> list[CacheOutcome]:
    """In the order of the acts. Raises `StoreUnavailable` when no step was done."""
    values: list[CacheOutcome] = [None] * count
    failed, done = None, False
    for step in steps:
        if isinstance(step.answer, BaseException):
            failed = unavailable(step.answer)
            for number in step.acts:
                values[number] = failed
            continue
        done = True
        if step.command[0] == "MGET":
            for number, value in zip(step.acts, step.answer, strict=True):
                values[number] = value
    if failed is not None and not done:
        raise failed
    return values


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
            for attempt in tries:
                if attempt.host is None:
                    attempt.step.answer = ClusterDownError("nobody has the slot")
                    self._topology.doubt()
                else:
                    by_server.setdefault((attempt.host, attempt.asking), []).append(attempt.step)
            await asyncio.gather(*(self._send(host, those, asking) for (host, asking), those in by_server.items()))
            if any(_is_lost(attempt.step) for attempt in tries):
                await self._topology.ready()
            tries = [again for attempt in tries if (again := self._again(attempt)) is not None]
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

    def _again(self, attempt: Try) -> Try | None:
        """Returns the next attempt; None when the step is answered, or no other server is known to have the slot."""
        step, answer = attempt.step, attempt.step.answer
        if attempt.host is None or not isinstance(answer, BaseException):
            return None
        if isinstance(answer, MovedError):  # in the driver's eyes a kind of `AskError`
            self._topology.moved(answer.slot_id, (answer.host or attempt.host[0], answer.port))
            return Try(step, self._master(step))
        if isinstance(answer, AskError):
            return Try(step, (answer.host or attempt.host[0], answer.port), asking=True)
        if isinstance(answer, TryAgainError):
            return attempt
        if isinstance(answer, ClusterDownError):
            self._topology.doubt()
        if _is_lost(step) and (master := self._master(step)) != attempt.host:
            return Try(step, master)
        return None

    def _master(self, step: Step) -> Host | None:
        return self._topology.master(slot(step.tenant))


def _is_lost(step: Step) -> bool:
    """Nothing was answered, where a server that lives answers something."""
    return isinstance(step.answer, BaseException) and not isinstance(step.answer, ResponseError)
