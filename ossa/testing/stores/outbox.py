"""The outbox and the processed events in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, OutboxEntry, OutboxStatus
from ossa.stores.event_bodies import events_of
from ossa.testing.stores.gate import Gate, Gated


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    task_id: str
    tenant: str
    at: datetime
    body: bytes


class MemoryOutbox:
    """`ossa.contracts.events.EventOutbox`, for one event loop."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime], source: str) -> None:
        self._gate = gate
        self._clock = clock
        self._source = source
        self._kept: dict[int, _Row] = {}
        self._last = 0
        self._lead: MemoryLead | None = None
        self._written = asyncio.Event()

    @property
    def rows(self) -> int:
        """How many wait; for tests."""
        return len(self._kept)

    def add(self, *, task_id: str, tenant: str, at: datetime, body: bytes) -> None:
        """For the journal."""
        self._last += 1
        self._kept[self._last] = _Row(self._last, task_id, tenant, at, body)
        self._written.set()

    async def lead(self) -> MemoryLead | None:
        self._gate.check()
        if self._lead is not None:
            return None
        self._lead = MemoryLead(self)
        return self._lead

    async def status(self) -> OutboxStatus:
        self._gate.check()
        if not self._kept:
            return OutboxStatus()
        oldest = next(iter(self._kept.values())).at
        return OutboxStatus(rows=len(self._kept), oldest_s=max(0.0, (self._clock() - oldest).total_seconds()))

    async def written(self, *, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._written.wait()
        except TimeoutError:
            return False
        self._written.clear()
        return True

    # For the lead

    def check(self, lead: MemoryLead) -> None:
        self._gate.check()
        if self._lead is not lead:
            raise StoreUnavailable("Another one leads.")

    def first(self, limit: int) -> list[OutboxEntry]:
        rows = list(self._kept.values())[:limit]
        return [OutboxEntry(row.position, row.task_id, self._events(row)) for row in rows]

    def _events(self, row: _Row) -> tuple[Event, ...]:
        return events_of(row.body, task_id=row.task_id, tenant=row.tenant, at=row.at, source=self._source)

    def drop(self, positions: Sequence[int]) -> None:
        for position in positions:
            self._kept.pop(position, None)

    def older(self, before: datetime) -> list[int]:
        return [row.position for row in self._kept.values() if row.at < before]

    def leave(self, lead: MemoryLead) -> None:
        if self._lead is lead:
            self._lead = None

    def depose(self) -> None:
        """Whoever leads has lost the right, as with a lost connection; for tests."""
        self._lead = None


class MemoryLead:
    """`ossa.contracts.events.OutboxLead`."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox

    async def read(self, limit: int) -> list[OutboxEntry]:
        self._outbox.check(self)
        return self._outbox.first(limit)

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._outbox.check(self)
        self._outbox.drop([entry.position for entry in entries])

    async def prune(self, *, before: datetime) -> int:
        self._outbox.check(self)
        old = self._outbox.older(before)
        self._outbox.drop(old)
        return len(old)

    async def close(self) -> None:
        self._outbox.leave(self)


class MemoryProcessed(Gated):
    """`ossa.contracts.events.ProcessedEvents`."""

    def __init__(self, gate: Gate, clock: Callable[[], datetime]) -> None:
        self._gate = gate
        self._clock = clock
        self._added: dict[tuple[str, str], datetime] = {}

    async def known(self, consumer: str, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(id for id in ids if (consumer, id) in self._added)

    async def add(self, consumer: str, ids: Sequence[str]) -> None:
        for id in ids:
            self._added.setdefault((consumer, id), self._clock())

    async def prune(self, *, before: datetime) -> int:
        old = [key for key, at in self._added.items() if at < before]
        for key in old:
            del self._added[key]
        return len(old)
