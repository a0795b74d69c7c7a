"""What goes into actors and replicas instead of connections: small picklable makers of them.

Agents never import this file: theirs is `ossa.agent.RunnerFactory`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ossa.app.caches import shared_cache
from ossa.app.events import event_bus
from ossa.app.keys import TENANT
from ossa.channel import ChannelLink
from ossa.contracts.agent_spec import Tier
from ossa.contracts.configuration import CacheSettings, Database, EventSettings
from ossa.contracts.routing import TierInfo
from ossa.fleet import FleetClient
from ossa.gateway.deployment import GatewayParts
from ossa.stores.postgres import PostgresStores

if TYPE_CHECKING:
    from ossa.vortex.service import CompressionService

FIRST_SNAPSHOT_S = 60.0


@dataclass(frozen=True)
class StoresFactory:
    """Builds the stores in the process that uses them."""

    database: Database
    dsn: SecretStr
    events: EventSettings = field(default_factory=EventSettings)

    def __call__(self) -> PostgresStores:
        return PostgresStores(self.database, self.dsn.get_secret_value(), events=self.events)


@dataclass(frozen=True)
class CompressionFactory:
    """Builds a replica's compression service."""

    stores: StoresFactory

    async def __call__(self) -> CompressionService:
        # The controller and the gateway import this file too, and do not compress.
        from ossa.vortex.service import CompressionService

        stores = self.stores()
        await stores.open()
        return CompressionService(stores.originals)


@dataclass(frozen=True)
class GatewayFactory:
    """Builds a replica's stores, its view of the fleet and its way to the agents, on the replica's loop."""

    stores: StoresFactory
    namespace: str
    cache: CacheSettings = field(default_factory=CacheSettings)
    models: str = ""
    tiers: dict[Tier, TierInfo] = field(default_factory=dict)

    async def __call__(self) -> GatewayParts:
        fleet = FleetClient(self.namespace)
        await fleet.start(FIRST_SNAPSHOT_S)
        return GatewayParts(
            stores=self.stores(),
            fleet=fleet,
            link=ChannelLink(lambda: fleet.snapshot().channel_token),
            operator_tenant=TENANT,
            cache=shared_cache(self.cache, room="exchange"),
            models=self.models,
            tiers=self.tiers,
            bus=event_bus(self.stores.events),
            events=self.stores.events,
            history_days=self.stores.database.history_days,
            close=fleet.close,
        )
