"""What goes into actors and replicas instead of connections: small picklable makers of them.

Agents never import this file: theirs is `ossa.agent.RunnerFactory`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from ray.serve.handle import DeploymentHandle

from ossa.app.bootstrap import TENANT
from ossa.app.connections import event_bus, shared_cache
from ossa.app.extensions import Backends, extensions_of
from ossa.channel import ChannelLink
from ossa.contracts.agent_spec import Tier
from ossa.contracts.cache import CacheStore
from ossa.contracts.configuration import AnswerSettings, CacheSettings, Database, EventSettings, GatewaySettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.routing import TierInfo
from ossa.fleet import FleetClient
from ossa.gateway.core import GatewayCore
from ossa.gateway.deployment import GatewayBuild
from ossa.gateway.extensions.answers import RemoteAnswers
from ossa.gateway.sidecar import ANSWERS, MEMORY, SIDECARS, VORTEX
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
    """Builds a replica's core and extensions on the replica's loop.

    Attributes:
        namespace: of the fleet.
        models: what stands behind the tiers, as a digest.
    """

    settings: GatewaySettings
    stores: StoresFactory
    namespace: str
    cache: CacheSettings = field(default_factory=CacheSettings)
    answers: AnswerSettings = field(default_factory=AnswerSettings)
    models: str = ""
    tiers: dict[Tier, TierInfo] = field(default_factory=dict)

    async def __call__(self, sidecars: Mapping[str, DeploymentHandle[Any]]) -> GatewayBuild:
        fleet = FleetClient(self.namespace)
        await fleet.start(FIRST_SNAPSHOT_S)
        core = GatewayCore(
            settings=self.settings,
            stores=self.stores(),
            fleet=fleet,
            link=ChannelLink(lambda: fleet.snapshot().channel_token),
            operator_tenant=TENANT,
            tiers=self.tiers,
            bus=event_bus(self.stores.events),
            replica=f"gateway-{os.getpid()}",
        )
        cache = shared_cache(self.cache, room="exchange")

        async def close() -> None:
            if cache is not None:
                with suppress(StoreUnavailable):
                    await cache.close()
            await fleet.close()

        return GatewayBuild(core, extensions_of(core, self._backends(sidecars, cache)), close)

    def _backends(self, sidecars: Mapping[str, DeploymentHandle[Any]], cache: CacheStore | None) -> Backends:
        remote = {kind.name: kind.remote(sidecars[kind.name]) for kind in SIDECARS if kind.name in sidecars}
        answers = remote.get(ANSWERS.name)
        return Backends(
            compressor=remote.get(VORTEX.name),
            cache=cache,
            answers=None if answers is None else RemoteAnswers(answers, self.answers),
            memory=remote.get(MEMORY.name),
            models=self.models,
            events=self.stores.events,
            history_days=self.stores.database.history_days,
        )
