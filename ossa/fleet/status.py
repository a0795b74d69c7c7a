"""The fleet as others see it: pools in numbers and the agents routing may use. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ossa.contracts.fleet import AgentInfo, AgentState, DesiredFleet, PoolInfo
from ossa.fleet.cluster import Capacity
from ossa.fleet.view import BlockView, Failure, ProcessState, ProcessView
from ossa.fleet.wanted import wanted_agents

_ORDER = {AgentState.READY: 0, AgentState.STARTING: 1, AgentState.DRAINING: 2}


def one_per_id(agents: Iterable[AgentInfo]) -> tuple[AgentInfo, ...]:
    """Each agent once, by id, from agents newest first.

    While one process follows another, the one that serves is shown, and of two that serve the newer.
    """
    best: dict[str, AgentInfo] = {}
    for agent in agents:
        known = best.get(agent.agent_id)
        if known is None or _ORDER[agent.state] < _ORDER[known.state]:
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
    """Every desired pool, tenants' own agents not counted. `desired` is what was asked for, also without manifests."""
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
    """The first reason that fits; empty while agents are merely starting."""
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
    """Agents of the pools (not tenants' own) that serve their present manifest, by pool."""
    wanted = wanted_agents(desired)
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
    """Processes that still have to go, by pool: of agents not wanted, with an older manifest, or draining."""
    wanted = wanted_agents(desired)
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
