"""The warm tier: what items mean, as vectors. Their contents stay in the catalogue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn
from uuid import NAMESPACE_URL, uuid5

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.memory import Fact, Recall
from ossa.contracts.memory_tiers import Erasure, MemoryRow, Near
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
        found = await index.search(vector, where=where, limit=limit, least_score=query.least_score)
        return [Near(id=one.payload["item"], version=one.payload["version"], score=one.score) for one in found]

    async def drop(self, row: MemoryRow, *, below: int) -> None:
        index = await self._open()
        await index.delete_where({"tenant": row.tenant, "item": row.id}, below=Below(field=FENCE, value=below))

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        index = await self._open()
        await index.delete([_point(row, fence)])

    async def erase(self, erasure: Erasure) -> int:
        index, below = await self._open(), _below(erasure)

        async def gone(where: dict[str, Matched]) -> int:
            found = await index.count(where, below=below)
            if found:
                await index.delete_where(where, below=below)
            return found

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
    found = 0
    for first in range(0, len(wheres), AT_ONCE):
        found += sum(await asyncio.gather(*map(ask, wheres[first : first + AT_ONCE])))
    return found


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
