"""The outbox over PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.events import OutboxEntry, OutboxStatus
from ossa.stores.event_bodies import events_of
from ossa.stores.postgres.connection import Reader, Server
from ossa.stores.postgres.failure import DRIVER_ERRORS, translate
from ossa.stores.postgres.queries import load_queries

COUNTED_ROWS = 10_000
"""More than that are estimated."""

PRUNED_AT_ONCE = 10_000

_LOCK = 0x6F73736165767473  # "ossaevts"
_GRACE_S = 1.0


class PostgresOutbox:
    """`ossa.contracts.events.EventOutbox`. Who leads holds an advisory lock, on a connection of its own.

    The lock ends with its session, and the lead does all its work in that session: who lost the lock can remove nothing
    more. Through a pooler that hands sessions around (PgBouncer in transaction mode) it would not hold.

    Args:
        source: goes onto each event.
    """

    def __init__(self, server: Server, reader: Reader, *, source: str) -> None:
        self._server = server
        self._reader = reader
        self._source = source
        self._sql = load_queries("outbox.sql")
        self._written = asyncio.Event()

    def on_committed(self) -> None:
        """For the journal: something was put in."""
        self._written.set()

    async def lead(self) -> PostgresLead | None:
        conn = await self._server.connect()
        lead = PostgresLead(conn, timeout_s=self._server.timeout_s, source=self._source)
        try:
            mine = await lead.take()
        except BaseException:
            await lead.close()
            raise
        if not mine:
            await lead.close()
            return None
        return lead

    async def status(self) -> OutboxStatus:
        row = await self._reader.row(self._sql["standing"], {"exact": COUNTED_ROWS})
        assert row is not None
        return OutboxStatus(rows=int(row["rows"]), oldest_s=max(0.0, row["oldest_s"]))

    async def written(self, *, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._written.wait()
        except TimeoutError:
            return False
        self._written.clear()
        return True


class PostgresLead:
    """`ossa.contracts.events.OutboxLead`."""

    def __init__(self, conn: AsyncConnection[DictRow], *, timeout_s: float, source: str) -> None:
        self._conn = conn
        self._timeout_s = timeout_s
        self._source = source
        self._sql = load_queries("outbox.sql")

    async def take(self) -> bool:
        """Whether the lock is ours now. A machine that vanishes with it holds it for some seconds, not for hours."""
        await self._rows("prepare", {})
        rows = await self._rows("lead", {"lock": _LOCK})
        return bool(rows[0]["mine"])

    async def read(self, limit: int) -> list[OutboxEntry]:
        return [
            OutboxEntry(
                row["position"],
                row["task_id"],
                events_of(row["body"], task_id=row["task_id"], tenant=row["tenant"], at=row["at"], source=self._source),
            )
            for row in await self._rows("read", {"limit": limit})
        ]

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            await self._rows("remove", {"positions": [entry.position for entry in entries]})

    async def prune(self, *, before: datetime) -> int:
        removed = 0
        while True:
            rows = await self._rows("prune", {"before": before, "limit": PRUNED_AT_ONCE})
            gone = int(rows[0]["gone"])
            removed += gone
            if gone < PRUNED_AT_ONCE:
                return removed

    async def close(self) -> None:
        await self._conn.close()

    async def _rows(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        try:
            async with asyncio.timeout(self._timeout_s + _GRACE_S):
                cursor = await self._conn.execute(self._sql[name], params, binary=True)
                return await cursor.fetchall() if cursor.description else []
        except DRIVER_ERRORS as error:
            raise translate(error) from error


class PostgresProcessed:
    """`ossa.contracts.events.ProcessedEvents`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("outbox.sql")

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
