"""What a gateway replica is made of before any extension joins it."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from ossa.contracts.agent_spec import AgentSpec, Tier
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import EventBus
from ossa.contracts.fleet import AgentInfo, FleetPort, FleetSnapshot
from ossa.contracts.routing import TierInfo
from ossa.contracts.stores import Journal, Stores
from ossa.contracts.task import Outcome, Step, UsageToday
from ossa.contracts.turn import AgentLink
from ossa.events.log_bus import LogBus
from ossa.gateway.lease import Leases
from ossa.gateway.metrics import GatewayMetrics
from ossa.manifest import from_mapping, read_agent
from ossa.resilience.backoff import Backoff
from ossa.routing import FleetIndex


def read_manifest(manifest: str | dict[str, Any]) -> AgentSpec:
    """The one agent of a parsed document or of YAML or JSON text. Raises `ManifestError`.

    Variables expand to their defaults alone: a stranger's manifest must not read this process's environment.
    """
    if isinstance(manifest, dict):
        return from_mapping(manifest, env={})
    return read_agent(manifest.encode(), env={})


T = TypeVar("T")
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0


class DurableJournal:
    """Writes that are tried again until the store answers.

    Each of them may be repeated safely. The one who owns the task ends the
    wait by cancelling: a lease that cannot be renewed stops its tasks.
    """

    def __init__(self, journal: Journal, metrics: GatewayMetrics) -> None:
        self._journal = journal
        self._metrics = metrics

    async def append(self, task_id: str, *, fence: int, steps: Sequence[Step], agent_id: str) -> None:
        await self._until_answered(
            "append", lambda: self._journal.append(task_id, fence=fence, steps=steps, agent_id=agent_id)
        )

    async def finish(
        self, task_id: str, *, fence: int, outcome: Outcome, steps: Sequence[Step], subjects: Sequence[str]
    ) -> None:
        await self._until_answered(
            "finish",
            lambda: self._journal.finish(task_id, fence=fence, outcome=outcome, steps=steps, usage_subjects=subjects),
        )

    async def release(self, task_id: str, *, fence: int) -> None:
        await self._until_answered("release", lambda: self._journal.release(task_id, fence=fence))

    async def steps(self, task_id: str) -> list[Step]:
        return await self._until_answered("steps", lambda: self._journal.steps(task_id))

    async def usage_today(self, subject: str) -> UsageToday:
        return await self._until_answered("usage_today", lambda: self._journal.usage_today(subject))

    async def _until_answered(self, call: str, attempt: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, jitter=0.5)
        while True:
            began = time.perf_counter()
            try:
                answer = await attempt()
            except StoreUnavailable:
                self._metrics.journal_errors.labels(call).inc()
            else:
                self._metrics.journal.labels(call).observe(time.perf_counter() - began)
                return answer
            await backoff.pause()


def usage_subjects(tenant: str, agent: AgentInfo | None) -> list[str]:
    """The tenant, and the manifest of the agent that did the task, as the journal names them."""
    return [f"tenant:{tenant}"] if agent is None else [f"tenant:{tenant}", manifest_subject(agent)]


def manifest_subject(agent: AgentInfo) -> str:
    return f"manifest:{agent.manifest}"


ReadManifest = Callable[[str | dict[str, Any]], AgentSpec]


@dataclass
class GatewayCore:
    """The stores, the fleet, the way to agents, and the settings of one replica. Extensions are built from it.

    Attributes:
        operator_tenant: its admins may manage other tenants' keys.
        tiers: the model endpoints that agents have; empty: each agent uses its own.
        bus: where facts are exported to; None: they stay in the fact log.
        replica: begins the owner ids of this process, and labels its metrics.
        clock: monotonic seconds.
    """

    settings: GatewaySettings
    stores: Stores
    fleet: FleetPort
    link: AgentLink
    operator_tenant: str = "default"
    tiers: Mapping[Tier, TierInfo] = field(default_factory=dict)
    bus: EventBus | None = None
    replica: str = "gateway"
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    read_manifest: ReadManifest = read_manifest

    @cached_property
    def metrics(self) -> GatewayMetrics:
        return GatewayMetrics(self.replica)

    @cached_property
    def journal(self) -> DurableJournal:
        """The journal for accepted work: it waits for a store that is away."""
        return DurableJournal(self.stores.journal, self.metrics)

    @cached_property
    def log(self) -> LogBus:
        """The fact log as a bus: what consumers read."""
        # Replicas on two nodes may have one name, and would be one member of a group.
        return LogBus(self.stores.facts, owner=f"{self.replica}-{secrets.token_hex(3)}")

    @cached_property
    def leases(self) -> Leases:
        return Leases(
            self.stores.journal,
            name=self.replica,
            ttl_s=self.settings.lease_ttl_s,
            renew_s=self.settings.lease_renew_s,
            clock=self.clock,
            metrics=self.metrics,
        )

    @cached_property
    def index(self) -> IndexedFleet:
        return IndexedFleet(self.fleet)


class IndexedFleet:
    """The fleet's newest snapshot, arranged for routing once a snapshot. Call it to get the `FleetIndex`."""

    def __init__(self, fleet: FleetPort) -> None:
        self._fleet = fleet
        self._latest: tuple[FleetSnapshot, FleetIndex] | None = None

    def __call__(self) -> FleetIndex:
        """Raises `NotReady` before the first snapshot."""
        snapshot = self._fleet.snapshot()
        latest = self._latest
        if latest is None or (latest[0] is not snapshot and _version(latest[0]) != _version(snapshot)):
            latest = self._latest = (snapshot, FleetIndex.of(snapshot))
        return latest[1]


def _version(snapshot: FleetSnapshot) -> tuple[str, int]:
    return snapshot.epoch, snapshot.version
