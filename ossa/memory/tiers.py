"""The hot tier and the warm one.

Hot is what this process read last, and the cache that processes share. Both may hold an old version, or one that was
forgotten: whoever reads compares the version with the catalogue's. Warm are the meanings of items, as vectors; contents
stay in the catalogue.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from sys import getsizeof
from time import monotonic
from typing import Any, NoReturn, TypeVar
from uuid import NAMESPACE_URL, uuid5

from ossa.caching.front import Absences, Front
from ossa.caching.guarded import CacheCounts, GuardedCache
from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.memory import Fact, Recall
from ossa.contracts.memory_tiers import Copy, Erasure, MemoryRow, Near
from ossa.contracts.vectors import Below, Matched, Point, VectorIndex, VectorSchema

AT_ONCE = 16
FENCE = "fence"
_NAMES = uuid5(NAMESPACE_URL, "ossa:memory")


def memory_schema(dimensions: int) -> VectorSchema:
    return VectorSchema(
        name="memory", dimensions=dimensions, keywords=("tenant", "item", "subject", "kind"), numbers=(FENCE,)
    )


class WarmVectors:
    """`ossa.contracts.memory_tiers.WarmTier`. Opens the index when it is first used, and again until it opens."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._opened = False
        self._opening = asyncio.Lock()

    async def put(self, row: MemoryRow, vector: Sequence[float], *, fence: int) -> None:
        payload: dict[str, Matched] = {
            **_fields(row.facts),
            "tenant": row.tenant,
            "item": row.id,
            "subject": row.subject,
            "kind": row.kind,
            "version": row.version,
            FENCE: fence,
        }
        index = await self._open()
        await index.upsert([Point(id=_point(row, fence), vector=tuple(vector), payload=payload)])

    async def search(
        self, tenant: str, vector: Sequence[float], query: Recall, *, kind: str | None, limit: int
    ) -> list[Near]:
        where: dict[str, Matched] = {**_fields(query.facts), "tenant": tenant}
        if kind is not None:
            where["kind"] = kind
        if query.subject is not None:
            where["subject"] = query.subject
        index = await self._open()
        points = await index.search(vector, where=where, limit=limit, least_score=query.least_score)
        return [Near(id=point.payload["item"], version=point.payload["version"], score=point.score) for point in points]

    async def drop(self, row: MemoryRow, *, below: int) -> None:
        index = await self._open()
        await index.delete_where({"tenant": row.tenant, "item": row.id}, below=Below(field=FENCE, value=below))

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        index = await self._open()
        await index.delete([_point(row, fence)])

    async def erase(self, erasure: Erasure) -> int:
        index, below = await self._open(), _below(erasure)

        async def gone(where: dict[str, Matched]) -> int:
            points = await index.count(where, below=below)
            if points:
                await index.delete_where(where, below=below)
            return points

        return await _sum(gone, erasure)

    async def count(self, erasure: Erasure) -> int:
        index, below = await self._open(), _below(erasure)
        return await _sum(lambda where: index.count(where, below=below), erasure)

    async def close(self) -> None:
        await self._index.close()

    async def _open(self) -> VectorIndex:
        """Raises `StoreUnavailable`, `Conflict`."""
        if not self._opened:
            async with self._opening:
                await self._index.open()
                self._opened = True
        return self._index


async def _sum(ask: Callable[[dict[str, Matched]], Awaitable[int]], erasure: Erasure) -> int:
    scope = erasure.scope
    wheres: list[dict[str, Matched]]
    if scope.ids is not None:
        wheres = [{"tenant": scope.tenant, "item": id} for id in erasure.ids]
    elif scope.subject is not None:
        wheres = [{"tenant": scope.tenant, "subject": scope.subject}]
    else:
        wheres = [{"tenant": scope.tenant}]
    total = 0
    for first in range(0, len(wheres), AT_ONCE):
        total += sum(await asyncio.gather(*map(ask, wheres[first : first + AT_ONCE])))
    return total


def _fields(facts: Mapping[str, Fact]) -> dict[str, Matched]:
    """As text, so that 1, "1" and true are three in every engine; apart from the index's own fields."""
    return {f"fact_{name}": json.dumps(value) for name, value in facts.items()}


def _below(erasure: Erasure) -> Below:
    return Below(field=FENCE, value=erasure.fence)


def _point(row: MemoryRow, fence: int) -> str:
    return str(uuid5(_NAMES, json.dumps([row.tenant, row.id, fence])))


class AbsentIndex:
    """`ossa.contracts.vectors.VectorIndex` without an engine. Every call raises `StoreUnavailable` with `reason`.

    A memory with this index keeps and lists its items; it cannot search by meaning.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def _refuse(self, *_args: Any, **_options: Any) -> NoReturn:
        raise StoreUnavailable(self._reason, retry_after_s=1.0)

    open = upsert = search = fetch = oldest = count = delete = delete_where = _refuse

    async def close(self) -> None:
        """Does nothing: there is nothing to close."""


T = TypeVar("T")

FRONT_BYTES = 32 * 2**20
FRONT_S = 60.0
"""Forgotten items are gone from the fronts of other processes after this."""

IDS_AT_ONCE = 64


class HotCopies:
    """`ossa.contracts.memory_tiers.HotTier`.

    Args:
        cache: None: this process's front alone. One that is not guarded is guarded here.
        shared_s: how long the cache keeps a copy.
        answer_s: how long the cache may take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        cache: CacheStore | None = None,
        *,
        shared_s: float = 3600.0,
        answer_s: float = 0.25,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if cache is not None and not isinstance(cache, GuardedCache):
            cache = GuardedCache(cache, room="memory", answer_s=answer_s, clock=clock)
        self._cache = cache
        self.counts = cache.counts if cache is not None else CacheCounts()
        self._shared_s = shared_s
        self._answer_s = answer_s
        self._clock = clock
        self._front: Front[Copy] = Front(lambda copy: getsizeof(copy.content), max_bytes=FRONT_BYTES)
        # Of a copy that another process makes meanwhile the content comes from the catalogue: slower, and right.
        self._absent = Absences(clock=clock)

    async def get(self, tenant: str, id: str) -> Copy | None:
        near = self._front.get((tenant, id), self._clock())
        if near is not None:
            self.counts.front_hits += 1
            return near
        if self._cache is None or (tenant, id) in self._absent:
            self.counts.misses += 1
            return None
        try:
            data = await self._cache.get(id, tenant=tenant)
        except OssaError:
            return None
        if data is None:
            self._absent.missed((tenant, id))
            return None
        return _decoded(data)

    async def put(self, tenant: str, id: str, copy: Copy, *, shared: bool) -> None:
        self._front.put((tenant, id), copy, self._clock() + FRONT_S)
        if shared and self._cache is not None:
            self._absent.came((tenant, id))
            with contextlib.suppress(OssaError):
                await self._cache.set(id, _encoded(copy), tenant=tenant, ttl_s=self._shared_s)

    async def drop(self, tenant: str, ids: Sequence[str]) -> None:
        for id in ids:
            self._front.drop((tenant, id))
        await self._each(ids, lambda cache, id: cache.drop(id, tenant=tenant))

    async def count(self, erasure: Erasure) -> int:
        """Counts copies that are left. What was remembered afterwards under the same ids does not count."""
        tenant, ids = erasure.scope.tenant, erasure.ids
        near = [copy for id in ids if (copy := self._front.get((tenant, id), self._clock())) is not None]
        shared = await self._each(ids, lambda cache, id: cache.get(id, tenant=tenant))
        copies = [*near, *(_decoded(data) for data in shared if data is not None)]
        return sum(copy is None or copy.version < erasure.fence for copy in copies)

    async def close(self) -> None:
        if self._cache is not None:
            with contextlib.suppress(OssaError, TimeoutError):
                async with asyncio.timeout(self._answer_s):
                    await self._cache.close()

    async def _each(self, ids: Sequence[str], ask: Callable[[CacheStore, str], Awaitable[T]]) -> list[T]:
        """Asks the store itself, even while its breaker is open: a removal must happen. Raises `StoreUnavailable`."""
        if self._cache is None:
            return []
        store = self._cache.store
        answers: list[T] = []
        for first in range(0, len(ids), IDS_AT_ONCE):
            try:
                async with asyncio.timeout(self._answer_s * 16):
                    answers.extend(await asyncio.gather(*(ask(store, id) for id in ids[first : first + IDS_AT_ONCE])))
            except TimeoutError:
                raise StoreUnavailable("The shared cache did not answer in time.", retry_after_s=1.0) from None
        return answers


def _encoded(copy: Copy) -> bytes:
    return b"%d\n%b" % (copy.version, copy.content.encode())


def _decoded(data: bytes) -> Copy | None:
    """None for what nobody here wrote."""
    version, _, content = data.partition(b"\n")
    try:
        return Copy(version=int(version), content=content.decode())
    except ValueError:
        return None
