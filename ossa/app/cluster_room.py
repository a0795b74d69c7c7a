"""What a fleet reserves on a cluster that is there, and what that cluster carries."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ossa.app.sizing import MISSION_AGENTS
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import POOL_WEIGHTS, POOLS
from ossa.fleet.operations import ratio

_ROUNDING = 1e-6


def node_cpus() -> list[float]:
    """Logical CPUs of each node of the Ray that this process is joined to."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [float(node["Resources"].get("CPU", 0.0)) for node in nodes if node["Alive"]]


def reserved_cpus(agents: int, fleet: FleetSettings) -> float:
    """Logical CPUs that a phase of that size reserves in Ray: whole blocks, and standbys that no block has room for."""
    places = _blocks(agents, fleet) * fleet.block_agents
    return max(places, agents + fleet.standby) * fleet.cpus_per_agent


def fits(agents: int, nodes: Sequence[float], fleet: FleetSettings) -> bool:
    """Whether nodes of so many CPUs carry it. A block sits on one node: what is left of many nodes makes no block."""
    blocks = _blocks(agents, fleet)
    alone = max(0, agents + fleet.standby - blocks * fleet.block_agents)
    for cpus in nodes:
        here = min(blocks, _whole(cpus, fleet.block_agents * fleet.cpus_per_agent))
        blocks -= here
        alone -= _whole(cpus - here * fleet.block_agents * fleet.cpus_per_agent, fleet.cpus_per_agent)
    return blocks == 0 and alone <= 0


def agents_on_cluster(nodes: Sequence[float], fleet: FleetSettings) -> int:
    """The largest phase, up to the mission's, that nodes of so many CPUs carry; at least one agent a pool."""
    fitting = (size for size in range(MISSION_AGENTS, len(POOLS), -1) if fits(size, nodes, fleet))
    return next(fitting, len(POOLS))


def what_is_missing(agents: int, nodes: Sequence[float], fleet: FleetSettings) -> str:
    """A sentence for whoever asked for more than the cluster has; empty when it fits."""
    if fits(agents, nodes, fleet):
        return ""
    needed, block = reserved_cpus(agents, fleet), fleet.block_agents * fleet.cpus_per_agent
    return (
        f"{agents} agents reserve {needed:.1f} CPUs in blocks of {block:.2f}, each on one node, and the cluster has "
        f"{sum(nodes):g} on {len(nodes)}: they wait until nodes join. A Ray that is started by hand takes --num-cpus; "
        "OSSA_FLEET__CPUS_PER_AGENT and OSSA_FLEET__BLOCK_AGENTS say what is reserved."
    )


def _blocks(agents: int, fleet: FleetSettings) -> int:
    return sum(math.ceil(count / fleet.block_agents) for count in ratio(agents, POOL_WEIGHTS).values())


def _whole(cpus: float, each: float) -> int:
    return max(0, math.floor((cpus + _ROUNDING) / each))
