"""What tasks spent, over PostgreSQL."""

from __future__ import annotations

from datetime import date

from ossa.contracts.spending import Approval, Spent, TaskFacts
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries


class PostgresSpending:
    """`ossa.contracts.spending.SpendingStore`. A trigger adds each outcome to its day when it is written."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("spending.sql")

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        rows = await self._lists.rows(self._sql["spending"], {"since": since, "tenant": tenant}, tenant=tenant)
        return [Spent(**row) for row in rows]

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        rows = await self._lists.rows(self._sql["newest"], {"limit": limit, "tenant": tenant}, tenant=tenant)
        return [TaskFacts(**row) for row in rows]

    async def approve(self, approval: Approval) -> bool:
        """False also when the answer to a first try was lost."""
        params = {"id": approval.id, "at": approval.at, "approval": approval.model_dump_json()}
        return await self._reader.row(self._sql["approve"], params) is not None

    async def approvals(self) -> list[Approval]:
        rows = await self._reader.rows(self._sql["approvals"])
        return [Approval.model_validate_json(row["approval"]) for row in rows]
