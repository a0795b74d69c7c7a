"""Originals in memory."""

from __future__ import annotations

from datetime import datetime

from ossa.testing.stores.gate import Gate


class MemoryOriginals:
    """`ossa.contracts.compression.OriginalStore`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._kept: dict[tuple[str, str], tuple[str, datetime]] = {}

    async def put(self, handle: str, content: str, *, tenant: str, expires_at: datetime) -> None:
        self._gate.check()
        _, known = self._kept.get((tenant, handle), ("", expires_at))
        self._kept[tenant, handle] = (content, max(known, expires_at))

    async def get(self, handle: str, *, tenant: str, now: datetime) -> str | None:
        self._gate.check()
        content, expires_at = self._kept.get((tenant, handle), (None, now))
        return content if expires_at > now else None

    async def sweep(self, *, now: datetime) -> int:
        self._gate.check()
        old = [key for key, (_, expires_at) in self._kept.items() if expires_at <= now]
        for key in old:
            del self._kept[key]
        return len(old)
