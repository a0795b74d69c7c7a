"""`ScaledFleet` over the controller's own parts."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import AgentState, DesiredFleet, FleetSnapshot, PoolInfo
from ossa.fleet.autoscaling.usage import PoolUsage, UsageSampler
from ossa.fleet.cluster import Cluster
from ossa.fleet.supervisor import ProcessSupervisor

Resize = Callable[[Mapping[str, int], int, Mapping[str, int]], Awaitable[None]]


class ControlledFleet:
    """Args:
    desired: as it is now. latest: the last snapshot; None before the first one.
    resize: sizes by pool, standbys, and those of them that each pool borrows -> durable, and under way.
    """

    def __init__(
        self,
        settings: FleetSettings,
        cluster: Cluster,
        supervisor: Callable[[], ProcessSupervisor],
        desired: Callable[[], DesiredFleet],
        latest: Callable[[], FleetSnapshot | None],
        resize: Resize,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._supervisor = supervisor
        self._desired = desired
        self._latest = latest
        self._resize = resize
        self._sampler = UsageSampler(settings.cpus_per_agent)

    @property
    def standby(self) -> int:
        return self._desired().standby

    def pools(self) -> Sequence[PoolInfo]:
        latest = self._latest()
        status = {pool.name: pool for pool in latest.pools} if latest else {}
        # Sizes are those desired now; the snapshot is of the last reconciling.
        return [
            status.get(pool.name, PoolInfo(name=pool.name, desired=0, ready=0)).model_copy(
                update={"desired": pool.size}
            )
            for pool in self._desired().pools
            if pool.manifests
        ]

    def slots(self, pool: str) -> float:
        latest = self._latest()
        ready = [
            agent.slots
            for agent in (latest.agents if latest else ())
            if agent.pool == pool and agent.tenant is None and agent.state is AgentState.READY
        ]
        return sum(ready) / len(ready) if ready else float(self._settings.slots_per_agent)

    async def usage(self) -> Mapping[str, PoolUsage]:
        return await self._sampler.sample(tuple(self._supervisor().processes.values()))

    async def nodes(self, agents_per_node: int) -> int:
        capacity = await self._cluster.capacity()
        return int(capacity.cpus / (self._settings.cpus_per_agent * agents_per_node) + 1e-6)

    async def resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        await self._resize(sizes, standby, borrowed)

    async def request_nodes(self, agents: int) -> None:
        await self._cluster.request_room(math.ceil(agents / self._settings.block_agents))
