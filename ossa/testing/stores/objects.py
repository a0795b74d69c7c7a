"""The memory's objects, and originals, in memory."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.memory_tiers import Erasure, MemoryRow
from ossa.testing.stores.gate import Gate, Gated

Place = tuple[str, str, str, int]


class InMemoryObjects(Gated):
    """`ossa.contracts.memory_tiers.ColdTier`, a fake for tests and trials."""

    def __init__(self) -> None:
        self._gate = Gate()
        self._kept: dict[Place, str] = {}

    async def put(self, row: MemoryRow, content: str, *, fence: int) -> None:
        self._kept[row.tenant, row.subject, row.id, fence] = content

    async def get(self, row: MemoryRow, *, fence: int) -> str | None:
        return self._kept.get((row.tenant, row.subject, row.id, fence))

    async def drop(self, row: MemoryRow, *, below: int, keep: int | None = None) -> None:
        mine = (row.tenant, row.subject, row.id)
        self._remove([one for one in self._kept if one[:3] == mine and one[3] < below and one[3] != keep])

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        self._kept.pop((row.tenant, row.subject, row.id, fence), None)

    async def erase(self, erasure: Erasure) -> int:
        return self._remove(self._covered(erasure))

    async def count(self, erasure: Erasure) -> int:
        return len(self._covered(erasure))

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    def held(self) -> list[Place]:
        """Tenant, subject, id and fence of every object."""
        return sorted(self._kept)

    def _covered(self, erasure: Erasure) -> list[Place]:
        scope = erasure.scope
        return [
            one
            for one in self._kept
            if one[0] == scope.tenant
            and one[3] < erasure.fence
            and (one[2] in erasure.ids if scope.ids is not None else scope.subject in (None, one[1]))
        ]

    def _remove(self, places: list[Place]) -> int:
        for place in places:
            del self._kept[place]
        return len(places)


class MemoryOriginals(Gated):
    """`ossa.contracts.compression.OriginalStore`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._kept: dict[tuple[str, str], tuple[str, datetime]] = {}

    async def put(self, handle: str, content: str, *, tenant: str, expires_at: datetime) -> None:
        _, known = self._kept.get((tenant, handle), ("", expires_at))
        self._kept[tenant, handle] = (content, max(known, expires_at))

    async def get(self, handle: str, *, tenant: str, now: datetime) -> str | None:
        content, expires_at = self._kept.get((tenant, handle), (None, now))
        return content if expires_at > now else None

    async def sweep(self, *, now: datetime) -> int:
        old = [key for key, (_, expires_at) in self._kept.items() if expires_at <= now]
        for key in old:
            del self._kept[key]
        return len(old)
