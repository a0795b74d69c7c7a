"""The fact log and the processed events in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import SYSTEM_TENANT, Fact, GroupPosition, Lease, LogItem, LogPage, Message
from ossa.stores import fact_bodies, store_facts
from ossa.stores.fact_bodies import MOST_ITEMS
from ossa.testing.stores.gate import Gate, Gated

Clock = Callable[[], datetime]

TOPIC = "ossa.events"


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    at: datetime
    tenant: str
    tasks: bool
    items: tuple[LogItem, ...]


@dataclass(slots=True)
class _Share:
    offset: int
    fence: int = 0
    owner: str = ""
    expires_at: datetime | None = None


class MemoryFacts(Gated):
    """`ossa.contracts.events.FactLog`, for one event loop."""

    def __init__(self, gate: Gate, clock: Clock, source: str = "/ossa") -> None:
        self._gate = gate
        self._clock = clock
        self._source = source
        self._last = 0
        self._rows: list[_Row] = []
        self._shares: dict[str, list[_Share]] = {}
        self._members: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._dead: list[tuple[int, datetime, Message]] = []
        self._buried = 0
        self._written = asyncio.Event()

    def add(self, *, key: str, tenant: str, telling: bytes) -> None:
        """What the fake journal tells of a task."""
        self._add(tenant, fact_bodies.body_of([(key, telling)]), tasks=True)

    def add_facts(self, facts: Sequence[Fact]) -> None:
        """What the other fakes tell, as one transaction."""
        rows: dict[str, list[tuple[str, bytes]]] = {}
        for fact in facts:
            rows.setdefault(fact.tenant, []).append((fact.key, fact_bodies.of_fact(fact)))
        for tenant, tellings in rows.items():
            self._add(tenant, fact_bodies.body_of(tellings), tasks=False)

    def waiting(self, group: str) -> int:
        """Facts that a group has not committed; for tests."""
        offset = min((share.offset for share in self._shares.get(group, ())), default=0)
        return sum(item.offset >= offset for row in self._rows for item in row.items)

    async def tell(self, facts: Sequence[Fact]) -> None:
        self.add_facts(facts)

    async def put(self, messages: Sequence[Message]) -> None:
        for first in range(0, len(messages), MOST_ITEMS):
            body = fact_bodies.body_of_messages(messages[first : first + MOST_ITEMS])
            self._add(SYSTEM_TENANT, body, tasks=False)

    async def read(self, after: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        rows = [row for row in self._of(tenant, tasks) if row.position >= after // MOST_ITEMS][:limit]
        end = rows[-1].position + 1 if len(rows) == limit else self._last + 1
        items = tuple(item for row in rows for item in row.items if item.offset >= after)
        return LogPage(items, max(after, end * MOST_ITEMS))

    async def read_back(self, before: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        last = (before - 1) // MOST_ITEMS
        rows = [row for row in reversed(self._of(tenant, tasks)) if row.position <= last][:limit]
        items = tuple(item for row in rows for item in reversed(row.items) if item.offset < before)
        return LogPage(items, rows[-1].position * MOST_ITEMS if len(rows) == limit else 0)

    async def settled(self) -> int:
        return (self._last + 1) * MOST_ITEMS

    async def wait(self, after: int, *, within_s: float) -> bool:
        self._written.clear()
        if (self._last + 1) * MOST_ITEMS > max(after, MOST_ITEMS):
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._written.wait()
        except TimeoutError:
            return False
        return True

    async def join(self, group: str, *, shards: int, owner: str, ttl_s: float, newest: bool = False) -> list[Lease]:
        now = self._clock()
        until = now + timedelta(seconds=ttl_s)
        self._members = {
            key: value for key, value in self._members.items() if key[0] != group or value[1] > now or key[1] == owner
        }
        self._members[(group, owner)] = (shards, until)
        others = [count for (name, _), (count, _) in self._members.items() if name == group and count != shards]
        shares = self._shares.get(group)
        if shares is None or (len(shares) != shards and not others):
            begins = min((share.offset for share in shares or ()), default=(await self.settled()) if newest else 0)
            shares = self._shares[group] = [_Share(begins) for _ in range(shards)]
        if len(shares) != shards:
            return []
        members = sum(name == group and count == shards for (name, _), (count, _) in self._members.items())
        quota = -(-shards // members)
        for share in [share for share in shares if share.owner == owner][quota:]:
            share.owner, share.expires_at = "", None
        for share in shares:
            held = sum(other.owner == owner for other in shares)
            if share.owner == owner:
                share.expires_at = until
            elif held < quota and (share.expires_at is None or share.expires_at <= now):
                share.owner, share.expires_at, share.fence = owner, until, share.fence + 1
        return [
            Lease(group, number, share.offset, share.fence)
            for number, share in enumerate(shares)
            if share.owner == owner
        ]

    async def leave(self, group: str, *, owner: str) -> None:
        self._members.pop((group, owner), None)
        for share in self._shares.get(group, ()):
            if share.owner == owner:
                share.owner, share.expires_at = "", None

    async def commit(self, lease: Lease, offset: int, *, owner: str) -> Lease | None:
        shares = self._shares.get(lease.group, [])
        share = shares[lease.shard] if lease.shard < len(shares) else None
        if share is None or (share.owner, share.fence) != (owner, lease.fence) or share.offset != lease.offset:
            return None
        share.offset = offset
        return replace(lease, offset=offset)

    async def seek(self, group: str, offset: int, *, quietly: bool = False) -> None:
        if offset < 0:
            raise InvalidRequest("offset must be 0 or more.", param="offset")
        for share in self._shares.setdefault(group, [_Share(offset)]):
            share.offset, share.fence = offset, share.fence + 1
        if not quietly:
            self.add_facts([store_facts.of_moved_group(group, offset)])

    async def positions(self) -> list[GroupPosition]:
        return [
            GroupPosition(group=group, shard=number, shards=len(shares), offset=share.offset, owner=share.owner)
            for group, shares in sorted(self._shares.items())
            for number, share in enumerate(shares)
        ]

    async def count(self, after: int, *, up_to: int = 10_000, tasks: bool = True) -> int:
        return sum(item.offset >= after for row in self._of(None, tasks) for item in row.items)

    async def bury(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._buried += 1
            self._dead.append((self._buried, self._clock(), message))

    async def dead(self, after: int, *, limit: int) -> list[tuple[int, Message]]:
        return [(number, message) for number, _, message in self._dead if number >= after][:limit]

    async def dead_end(self) -> int:
        return self._buried + 1

    async def prune(self, *, before: datetime) -> int:
        kept = len(self._rows)
        self._rows = [row for row in self._rows if row.at >= before]
        self._dead = [entry for entry in self._dead if entry[1] >= before]
        return int(len(self._rows) < kept)

    def _of(self, tenant: str | None, tasks: bool) -> list[_Row]:
        return [row for row in self._rows if tenant in (None, row.tenant) and (tasks or not row.tasks)]

    def _add(self, tenant: str, body: bytes, *, tasks: bool) -> None:
        self._last += 1
        at = self._clock()
        items = fact_bodies.items_of(body, position=self._last, tenant=tenant, at=at, source=self._source, topic=TOPIC)
        self._rows.append(_Row(self._last, at, tenant, tasks, items))
        self._written.set()


class MemoryProcessed(Gated):
    """`ossa.contracts.events.ProcessedEvents`."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
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
