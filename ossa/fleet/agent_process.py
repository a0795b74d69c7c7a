"""One process as the controller keeps it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Assignment
from ossa.fleet.cluster import ProcessHandle
from ossa.fleet.view import ProcessState, ProcessView


@dataclass(eq=False)
class AgentProcess:
    """`handle` is None until Ray knows the actor, `info` until the process has said it.

    `assignment` is known for agents that this controller started or assigned;
    `expected_end` is set when the controller ends the process itself.
    """

    incarnation: str
    block: str
    state: ProcessState
    since: float
    handle: ProcessHandle | None = None
    assignment: Assignment | None = None
    info: AgentInfo | None = None
    ready_at: float | None = None
    replace: bool = False
    expected_end: bool = False
    missed_probes: int = 0
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def agent_id(self) -> str | None:
        if self.assignment is not None:
            return self.assignment.agent_id
        return self.info.agent_id if self.info is not None else None

    def enter(self, state: ProcessState, now: float) -> None:
        self.state, self.since = state, now

    def view(self) -> ProcessView:
        who = self.assignment or self.info
        if isinstance(who, Assignment):
            pool, tenant, digest = who.pool, who.tenant, who.spec.digest
        elif who is not None:
            pool, tenant, digest = who.pool, who.tenant, who.digest
        else:
            pool, tenant, digest = "", None, ""
        return ProcessView(
            incarnation=self.incarnation,
            block=self.block,
            state=self.state,
            since=self.since,
            agent_id=self.agent_id,
            pool=pool,
            tenant=tenant,
            digest=digest,
            replace=self.replace,
        )

    def public(self) -> AgentInfo | None:
        """What the snapshot says of it; None for a standby."""
        state = AgentState(self.state.value)
        if self.info is not None and (self.assignment is None or self.info.agent_id == self.assignment.agent_id):
            return self.info if self.info.state is state else self.info.model_copy(update={"state": state})
        if self.assignment is None:
            return None
        return AgentInfo.of(
            self.assignment,
            incarnation=self.incarnation,
            state=AgentState.STARTING if self.state is not ProcessState.DRAINING else AgentState.DRAINING,
        )
