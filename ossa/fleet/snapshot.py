"""The fleet as others see it: pools in numbers, the agents that routing may use, and a feed of snapshots."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ossa.contracts.fleet import AgentInfo, AgentState, DesiredFleet, FleetSnapshot, PoolInfo
from ossa.fleet.cluster import Capacity
from ossa.fleet.state import BlockView, Failure, ProcessState, ProcessView, desired_agents

_ORDER = {AgentState.READY: 0, AgentState.STARTING: 1, AgentState.DRAINING: 2}


def one_per_id(agents: Iterable[AgentInfo]) -> tuple[AgentInfo, ...]:
    """Returns each agent once, sorted by id. Agents are given newest first.

    While one process replaces another, the serving one is shown; if both serve, the newer.
    """
    best: dict[str, AgentInfo] = {}
    for agent in agents:
        other = best.get(agent.agent_id)
        if other is None or _ORDER[agent.state] < _ORDER[other.state]:
            best[agent.agent_id] = agent
    return tuple(best[agent_id] for agent_id in sorted(best))


def pool_status(
    desired: DesiredFleet,
    agents: Sequence[AgentInfo],
    blocks: Sequence[BlockView],
    failures: Mapping[str, Failure],
    block_cpus: float,
    capacity: Capacity | None,
) -> tuple[PoolInfo, ...]:
    """Returns the status of every desired pool, without tenants' own agents. Pools without manifests are included."""
    own = {agent.agent_id for agent in desired.agents}
    states = Counter((agent.pool, agent.state) for agent in agents if agent.agent_id not in own)
    by_pool = Counter(block.pool for block in blocks)
    return tuple(
        PoolInfo(
            name=pool.name,
            desired=pool.size,
            ready=states[(pool.name, AgentState.READY)],
            starting=states[(pool.name, AgentState.STARTING)],
            draining=states[(pool.name, AgentState.DRAINING)],
            blocks=by_pool[pool.name],
            pending=_pending(pool.name, pool.size, bool(pool.manifests), blocks, failures, block_cpus, capacity)
            if states[(pool.name, AgentState.READY)] < pool.size
            else "",
            manifests=tuple(spec.name for spec in pool.manifests),
        )
        for pool in desired.pools
    )


def _pending(
    pool: str,
    size: int,
    has_manifests: bool,
    blocks: Sequence[BlockView],
    failures: Mapping[str, Failure],
    block_cpus: float,
    capacity: Capacity | None,
) -> str:
    """Returns the first reason that applies; empty while agents are merely starting."""
    if not has_manifests:
        return f"the pool has no manifest: apply one before it can have {size} agents"
    failing = {who: failure for who, failure in failures.items() if who.rpartition("-")[0] == pool}
    if failing:
        who, failure = max(failing.items(), key=lambda item: item[1].count)
        times = "once" if failure.count == 1 else f"{failure.count} times"
        return f"{who} failed to start {times}: {failure.reason}"
    waiting = sum(block.pool == pool and not block.ready for block in blocks)
    if waiting and capacity is not None:
        groups = "1 block waits" if waiting == 1 else f"{waiting} blocks wait"
        return (
            f"{groups} for room: each needs {block_cpus:.2f} CPU on one node, "
            f"the cluster has {capacity.cpus:.2f}, {capacity.free:.2f} of it free"
        )
    return ""


def ready_fresh(desired: DesiredFleet, processes: Iterable[ProcessView]) -> Counter[str]:
    """Counts agents that serve their present manifest, by pool, without tenants' own."""
    wanted = desired_agents(desired)
    own = {agent.agent_id for agent in desired.agents}
    fresh = {
        process.agent_id: process.pool
        for process in processes
        if process.agent_id is not None
        and process.agent_id not in own
        and process.state is ProcessState.READY
        and not process.replace
        and process.agent_id in wanted
        and process.digest == wanted[process.agent_id].spec.digest
    }
    return Counter(fresh.values())


def leftover(desired: DesiredFleet, processes: Iterable[ProcessView]) -> Counter[str]:
    """Counts processes that still have to go, by pool: no longer desired, with an older manifest, or draining."""
    wanted = desired_agents(desired)
    return Counter(
        process.pool
        for process in processes
        if process.agent_id is not None
        and (
            process.state is ProcessState.DRAINING
            or process.agent_id not in wanted
            or process.digest != wanted[process.agent_id].spec.digest
        )
    )


class SnapshotFeed:
    """Holds the latest snapshot. Versions start from the clock, so that they grow over a restart too."""

    def __init__(self, epoch: str, first_version: int) -> None:
        self._epoch = epoch
        self._next = first_version
        self._latest: FleetSnapshot | None = None
        self._encoded: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def latest(self) -> FleetSnapshot | None:
        return self._latest

    def publish(self, snapshot: FleetSnapshot) -> None:
        """Publishes a snapshot and sets its `version` and `epoch`. One without changes is skipped."""
        if self._latest is not None:
            same = snapshot.model_copy(update={"version": self._latest.version, "epoch": self._epoch})
            if same == self._latest:
                return
        self._latest = snapshot.model_copy(update={"version": self._next, "epoch": self._epoch})
        self._next += 1
        self._encoded = None
        self._changed.set()
        self._changed = asyncio.Event()

    async def after(self, version: int, timeout_s: float) -> bytes | None:
        """Returns the latest snapshot as JSON once it is newer than `version`; None after `timeout_s`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._latest is None or self._latest.version <= version:
            try:
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if self._encoded is None:
            self._encoded = self._latest.model_dump_json().encode()
        return self._encoded
