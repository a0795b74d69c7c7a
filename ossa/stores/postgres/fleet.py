"""The desired fleet over PostgreSQL."""

from __future__ import annotations

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.stores.postgres.connection import Reader
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries

_OPEN = ("pending", "running")


class PostgresFleet:
    """`ossa.contracts.stores.FleetStore`. Pools and agents come sorted by name, operations newest first."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("fleet.sql")

    async def load(self) -> DesiredFleet:
        row = await self._reader.row(self._sql["load"])
        if row is None:
            return DesiredFleet()
        pools = [
            DesiredPool.model_validate_json(pool).model_copy(update={"revision": revision})
            for pool, revision in zip(row["pools"], row["revisions"], strict=True)
        ]
        agents = [DesiredAgent.model_validate_json(agent) for agent in row["agents"]]
        return DesiredFleet(pools=tuple(pools), agents=tuple(agents), standby=row["standby"], phase=row["phase"])

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        params = {"name": pool.name, "revision": pool.revision + 1, "pool": pool.model_dump_json()}
        row = await self._reader.row(self._sql["save_pool"], params)
        assert row is not None
        return pool.model_copy(update={"revision": row["revision"]})

    async def save_agent(self, agent: DesiredAgent) -> None:
        params = {"agent_id": agent.agent_id, "agent": agent.model_dump_json()}
        await self._reader.execute(self._sql["save_agent"], params)

    async def remove_agent(self, agent_id: str) -> None:
        await self._reader.execute(self._sql["remove_agent"], {"agent_id": agent_id})

    async def save_standby(self, count: int) -> None:
        await self._reader.execute(self._sql["save_standby"], {"count": count})

    async def save_phase(self, phase: str) -> None:
        await self._reader.execute(self._sql["save_phase"], {"phase": phase})

    async def secret(self, name: str, fresh: str) -> str:
        await self._reader.execute(self._sql["offer_secret"], {"name": name, "fresh": fresh})
        row = await self._reader.row(self._sql["secret"], {"name": name})
        if row is None:
            raise StoreUnavailable(f"The fleet's secret {name} could not be kept.")
        return str(row["value"])

    async def save_operation(self, operation: Operation) -> None:
        params = {
            "id": operation.id,
            "tenant": operation.tenant,
            "open": operation.status in _OPEN,
            "operation": operation.model_dump_json(),
        }
        await self._reader.execute(self._sql["save_operation"], params)

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        params = {"operation_id": operation_id, "tenant": tenant}
        row = await self._reader.row(self._sql["operation"], params, tenant=tenant)
        if row is None:
            raise NotFound(f"There is no operation {operation_id}.")
        return Operation.model_validate_json(row["operation"])

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        params = {"tenant": tenant, "open_only": open_only, "limit": limit}
        # Who asks for all that are open means to carry them on.
        source = self._reader if open_only and tenant is None else self._lists
        rows = await source.rows(self._sql["operations"], params, tenant=tenant)
        return [Operation.model_validate_json(row["operation"]) for row in rows]
