"""What a gateway replica is made of before any extension joins it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ossa.contracts.agent_spec import AgentSpec, Tier
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.events import EventBus
from ossa.contracts.fleet import FleetPort, FleetSnapshot
from ossa.contracts.routing import TierInfo
from ossa.contracts.stores import Stores
from ossa.contracts.turn import AgentLink
from ossa.events.log_bus import LogBus
from ossa.gateway.durable import DurableJournal
from ossa.gateway.lease import Leases
from ossa.gateway.manifests import read_manifest
from ossa.gateway.metrics import GatewayMetrics
from ossa.routing import FleetIndex

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
        return LogBus(self.stores.facts, owner=self.replica)

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
