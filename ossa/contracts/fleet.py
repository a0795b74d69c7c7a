"""The fleet as data: desired and actual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import Field

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.origin import Origin
from ossa.contracts.scaling import ScalingStatus, TrafficReport
from ossa.contracts.task import Assignment, ErrorInfo
from ossa.contracts.value import Value

POOLS: tuple[str, ...] = ("foundation", "security", "intelligence", "federation", "community")
"""The mission's five pools, in its order."""

POOL_WEIGHTS: dict[str, int] = {
    "foundation": 50,
    "security": 40,
    "intelligence": 50,
    "federation": 35,
    "community": 25,
}
"""Agents a pool in `phase4-enterprise-analytics` at 200 agents; other sizes keep the ratio."""

POOL_ALIASES: dict[str, str] = {"enterprise-analytics": "intelligence"}

TRUST_ANNOTATION = "ossa.io/trust"
"""A manifest's claim of trust, 0 to 1. An unreadable claim counts as 0, an absent one as 1."""


class AgentState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class AgentInfo(Value):
    """One live agent. `address` is the `host:port` of its turn channel.

    `agent_id` names the place in the pool (`intelligence-003`) and outlives a process; `incarnation` names the process.
    """

    agent_id: str
    incarnation: str
    pool: str
    tenant: str | None = None
    manifest: str
    version: str
    digest: str
    capabilities: tuple[str, ...] = ()
    description: str = ""
    tools: tuple[str, ...] = Field(default=(), description="as the manifest names them")
    tier: str = "standard"
    model: str | None = Field(default=None, description="the one the manifest names")
    trust: float = Field(default=1.0, ge=0, le=1, description="what the manifest claims; a policy may ask for some")
    temperature: float | None = Field(default=None, description="the manifest's; a request's own goes before it")
    state: AgentState
    address: str = ""
    node_id: str = ""
    pid: int = 0
    slots: int = Field(default=4, ge=1, description="turns it runs at once")
    max_tokens_per_day: int | None = None
    max_cost_per_day_usd: float | None = None
    started_at: datetime | None = None

    @classmethod
    def of(cls, assignment: Assignment, **process: Any) -> AgentInfo:
        """Makes the value of an assigned agent; `process` holds the fields of its process."""
        spec = assignment.spec
        return cls(
            agent_id=assignment.agent_id,
            pool=assignment.pool,
            tenant=assignment.tenant,
            manifest=spec.name,
            version=spec.version,
            digest=spec.digest,
            capabilities=spec.capabilities,
            description=spec.description,
            tools=tuple(tool.name for tool in spec.tools),
            tier=spec.model.tier,
            model=spec.model.model,
            trust=_trust(spec),
            temperature=spec.model.temperature,
            max_tokens_per_day=spec.limits.max_tokens_per_day,
            max_cost_per_day_usd=spec.limits.max_cost_per_day_usd,
            **process,
        )


def _trust(spec: AgentSpec) -> float:
    claim = spec.annotations.get(TRUST_ANNOTATION, "")
    try:
        return min(1.0, max(0.0, float(claim))) if claim else 1.0
    except ValueError:
        return 0.0


class PoolInfo(Value):
    """A pool in numbers. `blocks` counts placement groups."""

    name: str
    desired: int
    ready: int
    starting: int = 0
    draining: int = 0
    blocks: int = 0
    pending: str = Field(default="", description="why agents are not up, when they are not")
    manifests: tuple[str, ...] = ()


class FleetSnapshot(Value):
    """The fleet as routing needs it. `version` grows with every change.

    `channel_token` opens the agents' turn channels; it is masked in reprs and never logged.
    """

    version: int
    epoch: str = Field(description="changes when the controller restarts")
    pools: tuple[PoolInfo, ...] = ()
    agents: tuple[AgentInfo, ...] = ()
    standby: int = 0
    channel_token: str = Field(default="", repr=False)


class DesiredPool(Value):
    """The desired state of a pool. Agents take its manifests in turn (agent i gets manifest i mod n)."""

    name: str
    size: int = Field(ge=0, le=10_000)
    manifests: tuple[AgentSpec, ...] = ()
    revision: int = 0


class DesiredAgent(Value):
    """A tenant's own agent, outside the pools' counts (`POST /api/v1/agents`)."""

    agent_id: str
    pool: str
    tenant: str
    spec: AgentSpec


class DesiredFleet(Value):
    pools: tuple[DesiredPool, ...] = ()
    agents: tuple[DesiredAgent, ...] = ()
    standby: int = Field(default=0, ge=0, description="including the borrowed ones")
    phase: str | None = None
    borrowed_standbys: dict[str, int] = Field(
        default_factory=dict, description="standbys that work for a pool, by pool; not stored"
    )


OperationKind = Literal["deploy-phase", "spawn-pool", "scale-to-phase4", "apply", "drain"]


def _absent(text: str) -> bool:
    return not text


class Operation(Value):
    """A change of the fleet that takes time; `GET /api/v1/operations/{id}` follows it."""

    id: str
    tenant: str
    kind: OperationKind
    status: Literal["pending", "running", "succeeded", "failed"]
    request: dict[str, Any] = Field(default_factory=dict)
    progress: dict[str, Any] = Field(default_factory=dict, description="agents ready and wanted, by pool")
    error: ErrorInfo | None = None
    created_at: datetime
    updated_at: datetime
    request_id: str = Field(default="", exclude_if=_absent, description="of the request that asked for it")
    traceparent: str = Field(default="", exclude_if=_absent, description="the gateway's span in that request's trace")
    actor: str = Field(default="", exclude_if=_absent, description="who asked for it, as `key/ID`")

    @property
    def origin(self) -> Origin:
        """The origin of its request; of an older row it is the controller's own act."""
        return Origin(
            actor=self.actor or "system/controller",
            tenant=self.tenant,
            request_id=self.request_id,
            traceparent=self.traceparent,
        )


class FleetPort(Protocol):
    """The fleet as the gateway sees it. `ossa.fleet.FleetClient` is the real one."""

    def snapshot(self) -> FleetSnapshot:
        """The latest known; never blocks. Raises `NotReady` before the first."""

    async def submit(self, kind: OperationKind, request: dict[str, Any], *, tenant: str) -> Operation:
        """Stores the operation and starts it. Requests by kind:

        deploy-phase: {"phase": str, "target_agents": int}
        spawn-pool: {"pool_type": str, "agent_count": int}; the pool's size becomes agent_count
        scale-to-phase4: {"target": str such as "200-agent-enterprise", "kubernetes_nodes": int}
        apply: {"manifest": AgentSpec as JSON, "pool": str}
        drain: {"agent_id": str}: running turns finish, then the process is replaced

        Raises `InvalidRequest` naming the field.
        """

    async def spawn_agent(self, agent: DesiredAgent) -> None:
        """Adds a tenant's own agent to the desired fleet."""

    async def remove_agent(self, agent_id: str, *, tenant: str) -> None:
        """Drains and removes a tenant's own agent. Raises `NotFound`, or `Conflict` for an agent of a pool."""

    async def report_lost(self, agent_id: str, incarnation: str, reason: str) -> None:
        """Reports a lost channel. The controller checks the agent and replaces a dead one."""

    async def report_traffic(self, report: TrafficReport) -> None:
        """Reports a gateway replica's traffic since its last report. Not retried: the next one comes soon."""

    async def scaling(self) -> ScalingStatus:
        """Returns the scaler's inputs, forecast and last decision."""

    async def alert(self, pools: Sequence[str], *, for_s: float) -> None:
        """Reports a critical alert that calls for agents; `*` is every pool. It lasts `for_s` seconds; 0 ends it.

        Raises `InvalidRequest` for a pool that is not known.
        """
