"""One fleet over a cluster that is only memory, stepped by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.fleet import POOLS, FleetSnapshot, Operation, PoolInfo
from ossa.fleet.controller import Controller
from ossa.testing.cluster import MemoryCluster, NoMeters
from ossa.testing.stores import MemoryStores


class _Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


class Bench:
    """One fleet on one cluster; controllers come and go."""

    def __init__(self) -> None:
        self.stores = MemoryStores()
        self.clock = _Clock()
        self.cluster = MemoryCluster()
        self.settings = FleetSettings(standby=0, block_agents=2, drain_timeout_s=60)
        self.scaling = ScalingSettings(mode="off")
        self.controller = self._controller()

    def _controller(self) -> Controller:
        catalogue = {pool: (AgentSpec(name=f"{pool}-agent", dialect="ossa/v0.5.0", digest="d1"),) for pool in POOLS}
        return Controller(
            self.cluster,
            self.stores,
            self.settings,
            catalogue,
            NoMeters(),
            now=self.clock,
            scaling=self.scaling,
        )

    async def restart(self) -> None:
        """As after SIGKILL: nothing is said to anybody."""
        self.controller.supervisor.close()
        self.controller = self._controller()
        await self.controller.open()

    async def turn(self) -> None:
        """One round, and all that it began as far as it comes without help."""
        self.clock.time += 5
        await self.controller.tick()
        for _ in range(30):
            await asyncio.sleep(0)
        await self.controller.follow()

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(300):
            if holds():
                return
            await self.turn()
        raise AssertionError("the fleet does not get there")

    async def snapshot(self) -> FleetSnapshot:
        return FleetSnapshot.model_validate_json(await self.controller.snapshot(-1, 1) or b"")

    async def pool(self, name: str) -> PoolInfo:
        return next(pool for pool in (await self.snapshot()).pools if pool.name == name)

    async def size(self, pool: str, count: int) -> Operation:
        number = f"op_{pool}_{count}"
        request = {"pool_type": pool, "agent_count": count}
        return await self.controller.submit(number, "spawn-pool", request, "acme")

    async def has(self, pool: str, count: int) -> None:
        await self.size(pool, count)
        await self.until(lambda: self.operation(f"op_{pool}_{count}").status == "succeeded")

    def operation(self, operation_id: str) -> Operation:
        return self.stores.fleet.saved_operations[operation_id]

    def places(self) -> list[str]:
        return sorted(process.info.agent_id if process.info else "standby" for process in self.cluster.alive())
