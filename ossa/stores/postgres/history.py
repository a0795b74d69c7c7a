"""Ended tasks do not stay for ever, over PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.stores import Pruned
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.queries import load_queries

PRUNED_AT_ONCE = 1_000
"""Tasks that one transaction removes: none is long, and others get in between."""

WEEKS_AHEAD = 2


class PostgresHistory:
    """`ossa.contracts.stores.HistoryStore`. One process prunes at a time; others find nothing to do."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("history.sql")

    async def prune(self, *, before: datetime) -> Pruned:
        await self._reader.execute(self._sql["ahead"], {"weeks": WEEKS_AHEAD})
        tasks = 0
        while True:
            row = await self._reader.row(self._sql["prune"], {"before": before, "most": PRUNED_AT_ONCE})
            gone = int(row["gone"] or 0) if row is not None else 0
            tasks += gone
            if gone < PRUNED_AT_ONCE:
                break
        return Pruned(tasks=tasks, parts=await self._drop(before))

    async def _drop(self, before: datetime) -> int:
        parts = 0
        while True:
            row = await self._reader.row(self._sql["drop"], {"before": before, "most": PRUNED_AT_ONCE})
            if row is None or row["part"] is None:
                return parts
            parts += 1
