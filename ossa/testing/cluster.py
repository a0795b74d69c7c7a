"""`Cluster` without Ray: a fake with test verbs. Processes start when told to, or at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Assignment
from ossa.fleet.cluster import AgentReport, BlockStatus, Capacity, LaunchSpec, ProcessGone, ProcessHandle
from ossa.fleet.meters import FleetMeters
from ossa.fleet.naming import STANDBY_POOL, block_pool


class MemoryCluster:
    """Room for `places` agents in all. It outlives the controllers that use it, as a Ray cluster does."""

    def __init__(self, places: int = 1000, cpus_per_agent: float = 0.38) -> None:
        self.places = places
        self.failing: set[str] = set()
        self.hold_starts = False
        self._cpus_per_agent = cpus_per_agent
        self._blocks: dict[str, int] = {}
        self._processes: dict[str, MemoryProcess] = {}
        self.started: list[str] = []
        self.requested: list[int] = []

    # The fake's own verbs.

    def alive(self) -> list[MemoryProcess]:
        return list(self._processes.values())

    def die(self, incarnation: str) -> None:
        """As by SIGKILL."""
        self._processes.pop(incarnation).end("killed by the test")

    def release_starts(self) -> None:
        """Processes held back come up now."""
        self.hold_starts = False
        for process in self._processes.values():
            process.up.set()

    # Cluster.

    async def blocks(self) -> list[BlockStatus]:
        found, used = [], 0
        for name, agents in self._blocks.items():
            used += agents
            found.append(BlockStatus(name=name, pool=block_pool(name), agents=agents, ready=used <= self.places))
        return found

    async def create_block(self, name: str, agents: int) -> None:
        if name in self._blocks:
            raise ValueError(f"block {name} exists")
        self._blocks[name] = agents

    async def remove_block(self, name: str) -> None:
        self._blocks.pop(name, None)
        for process in self.alive():
            if process.launch.block == name:
                self.die(process.incarnation)

    async def start(self, launch: LaunchSpec) -> MemoryProcess:
        place = launch.assignment.agent_id if launch.assignment else STANDBY_POOL
        process = MemoryProcess(launch, place, self)
        self._processes[launch.incarnation] = process
        self.started.append(place)
        if place in self.failing:
            self.die(launch.incarnation)
        elif not self.hold_starts:
            process.up.set()
        return process

    async def processes(self) -> list[ProcessHandle]:
        return list(self._processes.values())

    async def capacity(self) -> Capacity:
        total = self.places * self._cpus_per_agent
        return Capacity(cpus=total, free=max(0.0, total - sum(self._blocks.values()) * self._cpus_per_agent))

    async def request_room(self, blocks: int) -> None:
        self.requested.append(blocks)


class MemoryProcess:
    """`ProcessHandle`: `busy` set, it drains only when told that its turns ended; `hung` set, it does not answer."""

    def __init__(self, launch: LaunchSpec, place: str, cluster: MemoryCluster) -> None:
        self.launch = launch
        self.place = place
        self.incarnation = launch.incarnation
        self.up = asyncio.Event()
        self.turns_ended = asyncio.Event()
        self.turns_ended.set()
        self.draining = False
        self.hung = False
        self.info = _info(launch, launch.assignment) if launch.assignment else None
        self._cluster = cluster
        self._closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        if not self._closed.done():
            self._closed.set_result(reason)
        self.up.set()

    async def describe(self, timeout_s: float) -> AgentReport:
        await self._answering(timeout_s)
        return AgentReport(
            incarnation=self.incarnation,
            block=self.launch.block,
            pid=1,
            node_id="node",
            address="127.0.0.1:9",
            draining=self.draining,
            info=self.info,
            started_at=datetime.now(UTC),
        )

    async def assign(self, assignment: Assignment, timeout_s: float) -> AgentInfo:
        await self._answering(timeout_s)
        if assignment.agent_id in self._cluster.failing:
            raise RuntimeError("bad manifest")
        self.info = _info(self.launch, assignment)
        return self.info

    async def drain(self, timeout_s: float) -> None:
        await self._answering(timeout_s)
        self.draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self.turns_ended.wait()
        finally:
            if self._closed.done():
                raise ProcessGone(self._closed.result())

    async def wait_closed(self) -> str:
        return await asyncio.shield(self._closed)

    async def kill(self) -> None:
        if self.incarnation in {process.incarnation for process in self._cluster.alive()}:
            self._cluster.die(self.incarnation)

    async def _answering(self, timeout_s: float) -> None:
        if self.hung:
            raise TimeoutError
        async with asyncio.timeout(timeout_s):
            await self.up.wait()
        if self._closed.done():
            raise ProcessGone(self._closed.result())


def _info(launch: LaunchSpec, assignment: Assignment) -> AgentInfo:
    return AgentInfo.of(
        assignment,
        incarnation=launch.incarnation,
        state=AgentState.READY,
        address="127.0.0.1:9",
        node_id="node",
        pid=1,
        slots=launch.slots,
    )


class NoMeters(FleetMeters):
    """Counts nothing: Ray's metrics need Ray."""

    @property
    def _metrics(self) -> dict[str, Any]:
        return defaultdict(_NoMetric)


class _NoMetric:
    def set(self, *_: Any, **__: Any) -> None: ...
    def inc(self, *_: Any, **__: Any) -> None: ...
    def observe(self, *_: Any, **__: Any) -> None: ...
