"""The lists of agents' lives in memory."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.agent_history import AgentMoment
from ossa.testing.stores.gate import Gate, Gated


class MemoryAgentHistory(Gated):
    """`ossa.contracts.agent_history.AgentHistoryStore`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._last = 0
        self._moments: dict[str, tuple[int, AgentMoment]] = {}

    async def add(self, moment: AgentMoment) -> bool:
        if moment.id in self._moments:
            return False
        self._last += 1
        self._moments[moment.id] = (self._last, moment)
        return True

    async def of(
        self, agent: str, *, tenant: str | None, before: int | None = None, limit: int = 50
    ) -> list[tuple[int, AgentMoment]]:
        found = [
            (number, moment)
            for number, moment in self._moments.values()
            if moment.agent == agent and tenant in (None, moment.tenant) and (before is None or number < before)
        ]
        return sorted(found, key=lambda each: each[0], reverse=True)[:limit]

    async def prune(self, *, before: datetime) -> int:
        old = [id for id, (_, moment) in self._moments.items() if moment.at < before]
        for id in old:
            del self._moments[id]
        return len(old)
