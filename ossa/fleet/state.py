"""The actual fleet and the desired agents as reconciling sees them, and the decisions that bring them together."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from ossa.contracts.fleet import DesiredFleet, DesiredPool
from ossa.contracts.task import Assignment
from ossa.contracts.value import Value
from ossa.fleet.naming import agent_id


class ProcessState(StrEnum):
    """STARTING covers a cold start, and the milliseconds in which a standby becomes an agent.

    A DRAINING process holds its place until it is gone.
    """

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class ProcessView(Value):
    """One agent's process. `agent_id` is None for a standby; `since` is when it entered its state."""

    incarnation: str
    block: str
    state: ProcessState
    since: float
    agent_id: str | None = None
    pool: str = ""
    tenant: str | None = None
    digest: str = ""
    replace: bool = Field(default=False, description="a new process was requested in its place")


class BlockView(Value):
    """One placement group. `agents` is how many fit; `since` is when it was first seen in this condition."""

    name: str
    pool: str
    agents: int
    ready: bool
    since: float = 0.0


class Failure(Value):
    """Why an agent or standby failed to start, and when it is tried again."""

    count: int
    reason: str
    retry_at: float


class ActualFleet(Value):
    """`failures` are by agent id; those of standbys are under `standby`."""

    processes: tuple[ProcessView, ...] = ()
    blocks: tuple[BlockView, ...] = ()
    failures: Mapping[str, Failure] = Field(default_factory=dict)


def desired_agents(desired: DesiredFleet) -> dict[str, Assignment]:
    """Returns every agent by id, pools' first agents first, so that all pools come up together; tenants' own last.

    A pool without manifests has no agents to start. Borrowed standbys have the ids after the pool's own.
    """
    borrowed = borrowed_standbys(desired)
    indexed = [(index, assignment) for pool in desired.pools for index, assignment in _pool_agents(pool, borrowed)]
    indexed.sort(key=lambda pair: pair[0])
    wanted = {assignment.agent_id: assignment for _, assignment in indexed}
    for own in desired.agents:
        wanted.setdefault(
            own.agent_id, Assignment(agent_id=own.agent_id, pool=own.pool, tenant=own.tenant, spec=own.spec)
        )
    return wanted


def borrowed_standbys(desired: DesiredFleet) -> dict[str, int]:
    """Returns borrowed standbys by pool. A pool of size 0 or without manifests borrows none."""
    pools = {pool.name for pool in desired.pools if pool.size and pool.manifests}
    return {pool: count for pool, count in desired.borrowed_standbys.items() if pool in pools and count > 0}


def _pool_agents(pool: DesiredPool, borrowed: Mapping[str, int]) -> list[tuple[int, Assignment]]:
    if not pool.manifests:
        return []
    count = len(pool.manifests)
    return [
        (index, Assignment(agent_id=agent_id(pool.name, index), pool=pool.name, spec=pool.manifests[index % count]))
        for index in range(pool.size + borrowed.get(pool.name, 0))
    ]


class CreateBlock(Value):
    name: str
    pool: str
    agents: int


class RemoveBlock(Value):
    """Only an empty block is removed."""

    name: str


class StartAgent(Value):
    block: str
    assignment: Assignment


class StartStandby(Value):
    block: str


class AssignStandby(Value):
    """Takes milliseconds. The process that held the agent's id is drained once this one is ready."""

    incarnation: str
    assignment: Assignment


class Drain(Value):
    """Running turns finish, then the process ends."""

    incarnation: str
    reason: str


class Kill(Value):
    """A process that runs no turns worth waiting for."""

    incarnation: str
    reason: str


Decision = CreateBlock | RemoveBlock | StartAgent | StartStandby | AssignStandby | Drain | Kill
