"""The desired fleet in memory."""

from __future__ import annotations

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.testing.stores.gate import Gate


class MemoryFleet:
    """`ossa.contracts.stores.FleetStore`. Pools and agents come sorted by name, operations newest first."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._pools: dict[str, DesiredPool] = {}
        self._agents: dict[str, DesiredAgent] = {}
        self._standby = 0
        self._phase: str | None = None
        self._secrets: dict[str, str] = {}
        self.saved_operations: dict[str, Operation] = {}
        """For tests: readable without waiting, and while the store is down."""

    async def load(self) -> DesiredFleet:
        self._gate.check()
        return DesiredFleet(
            pools=tuple(self._pools[name] for name in sorted(self._pools)),
            agents=tuple(self._agents[agent_id] for agent_id in sorted(self._agents)),
            standby=self._standby,
            phase=self._phase,
        )

    async def save_pool(self, pool: DesiredPool) -> DesiredPool:
        self._gate.check()
        known = self._pools.get(pool.name)
        revision = max(pool.revision, known.revision if known else 0) + 1
        self._pools[pool.name] = pool.model_copy(update={"revision": revision}, deep=True)
        return self._pools[pool.name]

    async def save_agent(self, agent: DesiredAgent) -> None:
        self._gate.check()
        self._agents[agent.agent_id] = agent.model_copy(deep=True)

    async def remove_agent(self, agent_id: str) -> None:
        self._gate.check()
        self._agents.pop(agent_id, None)

    async def save_standby(self, count: int) -> None:
        self._gate.check()
        self._standby = count

    async def save_phase(self, phase: str) -> None:
        self._gate.check()
        self._phase = phase

    async def secret(self, name: str, fresh: str) -> str:
        self._gate.check()
        return self._secrets.setdefault(name, fresh)

    async def save_operation(self, operation: Operation) -> None:
        self._gate.check()
        self.saved_operations[operation.id] = operation.model_copy(deep=True)

    async def operation(self, operation_id: str, *, tenant: str | None = None) -> Operation:
        self._gate.check()
        found = self.saved_operations.get(operation_id)
        if found is None or (tenant is not None and found.tenant != tenant):
            raise NotFound(f"There is no operation {operation_id}.")
        return found

    async def operations(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 50
    ) -> list[Operation]:
        self._gate.check()
        found = [
            operation
            for operation in self.saved_operations.values()
            if (tenant is None or operation.tenant == tenant)
            and (not open_only or operation.status in ("pending", "running"))
        ]
        return sorted(found, key=lambda operation: operation.id, reverse=True)[:limit]
