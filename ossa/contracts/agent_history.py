"""The list of an agent's life: when it became ready, was lost, replaced and removed, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pydantic import Field

from ossa.contracts.value import Value

AGENT_TYPES = "ossa.agent."
"""The beginning of the types of facts that the list is made from."""


class AgentMoment(Value):
    """One thing that happened to an agent, as the fact `id` told it."""

    id: str = Field(description="of the fact: what is told twice is kept once")
    agent: str
    tenant: str = Field(description="whose own agent it is; `_system` for shared ones")
    type: str = Field(description="type of the fact, such as ossa.agent.lost.v1")
    at: datetime
    outcome: str = "succeeded"
    reason: str = ""
    pool: str = ""
    manifest: str = ""
    version: str = ""
    incarnation: str = Field("", description="the process that it happened to")
    node: str = ""
    actor: str = ""
    request_id: str = ""


class AgentHistoryStore(Protocol):
    """Moments of agents' lives, by number: the order in which they were added. Raises `StoreUnavailable`."""

    async def add(self, moment: AgentMoment) -> bool:
        """Keep it; returns whether it is new. One whose id is known changes nothing."""

    async def of(
        self, agent: str, *, tenant: str | None, before: int | None = None, limit: int = 50
    ) -> list[tuple[int, AgentMoment]]:
        """An agent's moments with their numbers, newest first, those with a number below `before`.

        Args:
            tenant: only what is this tenant's, under the rights of one; None: everybody's.
        """

    async def prune(self, *, before: datetime) -> int:
        """Remove moments from before; returns how many."""
