"""The lists of agents' lives over PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.agent_history import AgentMoment
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.queries import load_queries

PRUNED_AT_ONCE = 10_000


class PostgresAgentHistory:
    """`ossa.contracts.agent_history.AgentHistoryStore`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("agent_history.sql")

    async def add(self, moment: AgentMoment) -> bool:
        params = {
            "id": moment.id, "tenant": moment.tenant, "agent": moment.agent, "at": moment.at,
            "moment": moment.model_dump_json(),
        }  # fmt: skip
        return await self._reader.row(self._sql["add"], params) is not None

    async def of(
        self, agent: str, *, tenant: str | None, before: int | None = None, limit: int = 50
    ) -> list[tuple[int, AgentMoment]]:
        params = {"agent": agent, "tenant": tenant, "before": before, "limit": limit}
        rows = await self._reader.rows(self._sql["of"], params, tenant=tenant)
        return [(row["number"], AgentMoment.model_validate_json(row["moment"])) for row in rows]

    async def prune(self, *, before: datetime) -> int:
        removed = 0
        while True:
            row = await self._reader.row(self._sql["prune"], {"before": before, "limit": PRUNED_AT_ONCE})
            gone = int(row["gone"]) if row else 0
            removed += gone
            if gone < PRUNED_AT_ONCE:
                return removed
