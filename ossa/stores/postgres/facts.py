"""The fact log over PostgreSQL, and the ids of events that consumers have dealt with."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic

import orjson

from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.contracts.events import SYSTEM_TENANT, Fact, GroupPosition, Lease, LogItem, LogPage, Message
from ossa.stores import fact_bodies, store_facts
from ossa.stores.fact_bodies import MOST_ITEMS
from ossa.stores.postgres.connection import Reader, Row
from ossa.stores.postgres.fact_tail import FactTail
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.telling import told

PRUNED_AT_ONCE = 10_000

_LOOK_FIRST_S = 0.005
_LOOK_LONGEST_S = 0.05
_FIRST = 1


class PostgresFacts:
    """`ossa.contracts.events.FactLog`. Reads come from the primary.

    Whoever waits is woken by commits of its own process; for others' it looks after 5 to 50 ms.

    Args:
        source: goes onto each event.
        topic: goes onto each message that was put.
    """

    def __init__(self, reader: Reader, *, source: str, topic: str = "ossa.events") -> None:
        self._reader = reader
        self._source = source
        self._topic = topic
        self._sql = load_queries("facts.sql")
        self._written = asyncio.Event()
        self._tail = FactTail(reader, self._items)

    def on_committed(self) -> None:
        """For the stores of this process: they told something."""
        self._tail.stale = True
        self._written.set()

    async def tell(self, facts: Sequence[Fact]) -> None:
        rows: dict[str, list[tuple[str, bytes]]] = {}
        for fact in facts:
            rows.setdefault(fact.tenant, []).append((fact.key, fact_bodies.of_fact(fact)))
        await self._insert([(tenant, len(keyed), fact_bodies.body_of(keyed)) for tenant, keyed in rows.items()])

    async def put(self, messages: Sequence[Message]) -> None:
        rows: list[tuple[str, int, bytes]] = []
        for first in range(0, len(messages), MOST_ITEMS):
            batch = messages[first : first + MOST_ITEMS]
            rows.append((SYSTEM_TENANT, len(batch), fact_bodies.body_of_messages(batch)))
        await self._insert(rows)

    async def _insert(self, rows: Sequence[tuple[str, int, bytes]]) -> None:
        if not rows:
            return
        params = {
            "tenants": [tenant for tenant, _, _ in rows],
            "counts": [count for _, count, _ in rows],
            "bodies": [body.decode() for _, _, body in rows],
        }
        await self._reader.execute(self._sql["tell"], params)
        self.on_committed()

    async def read(self, after: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        last = await self._tail.settled()
        server = self._tail.server
        first = max(after // MOST_ITEMS, _FIRST)
        rows: Sequence[tuple[int, tuple[LogItem, ...]]] | None = None
        if tenant is None:
            rows = self._tail.recent(first, limit=limit, tasks=tasks)
        if rows is None:
            name = "read_tenant" if tenant is not None else "read" if tasks else "read_fleet"
            params = {"first": first, "last": last, "limit": limit, "tenant": tenant, "tasks": tasks}
            found = await self._reader.rows(self._sql[name], params, tenant=tenant)
            if found[0]["server"] != server:
                self._tail.stale = True
                raise StoreUnavailable("Another PostgreSQL answers than before.", retry_after_s=0.1)
            rows = [(row["position"], self._items(row)) for row in found if row["position"] is not None]
        end = rows[-1][0] + 1 if len(rows) == limit else max(last + 1, first)
        items = tuple(item for _, items in rows for item in items if item.offset >= after)
        return LogPage(items, max(after, end * MOST_ITEMS), server)

    async def read_back(self, before: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        last = min(await self._tail.settled(), (before - 1) // MOST_ITEMS)
        name = "read_back_tenant" if tenant is not None else "read_back" if tasks else "read_back_fleet"
        params = {"last": last, "limit": limit, "tenant": tenant, "tasks": tasks}
        found = await self._reader.rows(self._sql[name], params, tenant=tenant)
        items = tuple(item for row in found for item in reversed(self._items(row)) if item.offset < before)
        return LogPage(items, found[-1]["position"] * MOST_ITEMS if len(found) == limit else 0)

    async def settled(self) -> int:
        return (await self._tail.settled() + 1) * MOST_ITEMS

    async def wait(self, after: int, *, within_s: float) -> bool:
        end, pause_s = monotonic() + within_s, _LOOK_FIRST_S
        while True:
            self._written.clear()
            if await self.settled() > max(after, MOST_ITEMS):
                return True
            left_s = end - monotonic()
            if left_s <= 0:
                return False
            try:
                async with asyncio.timeout(min(pause_s, left_s)):
                    await self._written.wait()
            except TimeoutError:
                pause_s = min(pause_s * 1.5, _LOOK_LONGEST_S)

    async def join(self, group: str, *, shards: int, owner: str, ttl_s: float, newest: bool = False) -> list[Lease]:
        begins = await self.settled() if newest else 0
        params = {"group": group, "shards": shards, "owner": owner, "ttl_s": ttl_s, "begins": begins}
        rows = await self._reader.rows(self._sql["join"], params)
        return [Lease(group, row["shard"], row["position"], row["fence"], row["server"]) for row in rows]

    async def leave(self, group: str, *, owner: str) -> None:
        await self._reader.execute(self._sql["leave"], {"group": group, "owner": owner})

    async def commit(self, lease: Lease, offset: int, *, owner: str) -> Lease | None:
        params = {
            "group": lease.group, "shard": lease.shard, "fence": lease.fence, "owner": owner,
            "was": lease.offset, "to": offset, "server": lease.server,
        }  # fmt: skip
        row = await self._reader.row(self._sql["commit"], params)
        return None if row is None else replace(lease, offset=offset)

    async def seek(self, group: str, offset: int, *, quietly: bool = False) -> None:
        if offset < 0:
            raise InvalidRequest("offset must be 0 or more.", param="offset")
        fact = None if quietly else store_facts.of_moved_group(group, offset)
        await self._reader.execute(self._sql["seek"], {"group": group, "to": offset, **told(fact)})

    async def positions(self) -> list[GroupPosition]:
        rows = await self._reader.rows(self._sql["positions"])
        return [
            GroupPosition(
                group=row["name"],
                shard=row["shard"],
                shards=row["shards"],
                offset=row["position"],
                owner=row["owner"],
            )
            for row in rows
        ]

    async def count(self, after: int, *, up_to: int = 10_000, tasks: bool = True) -> int:
        last, first = await self._tail.settled(), max(after // MOST_ITEMS, _FIRST)
        row = await self._reader.row(
            self._sql["count"], {"first": first, "last": last, "limit": up_to + 1, "tasks": tasks}
        )
        assert row is not None
        if row["rows"] <= up_to:
            return max(0, int(row["facts"]) - after % MOST_ITEMS)
        return int(row["facts"] / row["rows"] * (last - first + 1))

    async def bury(self, messages: Sequence[Message]) -> None:
        if messages:
            bodies = [fact_bodies.body_of_messages([message]).decode() for message in messages]
            await self._reader.execute(self._sql["bury"], {"messages": bodies})

    async def dead(self, after: int, *, limit: int) -> list[tuple[int, Message]]:
        rows = await self._reader.rows(self._sql["dead"], {"after": after, "limit": limit})
        return [(row["number"], _message(row["message"], self._topic)) for row in rows]

    async def dead_end(self) -> int:
        row = await self._reader.row(self._sql["dead_end"])
        return int(row["number"]) if row else 1

    async def prune(self, *, before: datetime) -> int:
        await self._reader.execute(self._sql["ahead"])
        row = await self._reader.row(self._sql["prune"], {"before": before, "limit": PRUNED_AT_ONCE})
        return int(row["gone"]) if row else 0

    async def close(self) -> None:
        """A look that is under way is given up."""
        await self._tail.close()

    def _items(self, row: Row) -> tuple[LogItem, ...]:
        return fact_bodies.items_of(
            row["body"],
            position=row["position"],
            tenant=row["tenant"],
            at=row["at"],
            source=self._source,
            topic=self._topic,
        )


class PostgresProcessed:
    """`ossa.contracts.events.ProcessedEvents`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("facts.sql")

    async def known(self, consumer: str, ids: Sequence[str]) -> frozenset[str]:
        rows = await self._reader.rows(self._sql["known"], {"consumer": consumer, "ids": list(ids)})
        return frozenset(row["event_id"] for row in rows)

    async def add(self, consumer: str, ids: Sequence[str]) -> None:
        # In order: consumers that meet wait for each other, and never in a circle.
        await self._reader.execute(self._sql["add"], {"consumer": consumer, "ids": sorted(ids)})

    async def prune(self, *, before: datetime) -> int:
        removed = 0
        while True:
            row = await self._reader.row(self._sql["forget"], {"before": before, "limit": PRUNED_AT_ONCE})
            gone = int(row["gone"]) if row else 0
            removed += gone
            if gone < PRUNED_AT_ONCE:
                return removed


def _message(text: str, topic: str) -> Message:
    (entry,) = orjson.loads(text)
    return Message(topic, entry["key"], base64.b64decode(entry["value"]), entry["headers"])
