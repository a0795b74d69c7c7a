"""Cache acts as Redis commands: what entries are called, one command for many reads, outcomes from answers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from redis.crc import key_slot

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.errors import StoreUnavailable
from ossa.stores.redis.failure import unavailable
from ossa.stores.redis.topology import Command

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
    """Where a cluster has the tenant's entries."""
    return key_slot(_tag(tenant).encode())


@lru_cache(TENANTS_KNOWN)
def _tag(tenant: str) -> str:
    return _digest(tenant, 16)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


class OneByOne(ABC):
    """What a `CacheStore` does, each a batch of one."""

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
    found = [
        Step(("MGET", *(entry(acts[n].tenant, room, acts[n].key) for n in numbers)), numbers, acts[numbers[0]].tenant)
        for numbers in reads.values()
    ]
    return found + writes


def outcomes(steps: Iterable[Step], count: int) -> list[CacheOutcome]:
    """In the order of the acts. Raises `StoreUnavailable` when no step was done."""
    found: list[CacheOutcome] = [None] * count
    failed, done = None, False
    for step in steps:
        if isinstance(step.answer, BaseException):
            failed = unavailable(step.answer)
            for number in step.acts:
                found[number] = failed
            continue
        done = True
        if step.command[0] == "MGET":
            for number, value in zip(step.acts, step.answer, strict=True):
                found[number] = value
    if failed is not None and not done:
        raise failed
    return found
