"""How many agents a machine or a cluster holds, and how many logical CPUs Ray is told a machine has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.fleet import POOL_WEIGHTS, POOLS
from ossa.contracts.value import Value
from ossa.fleet.operations import ratio

AGENT_MIB = 90
"""Measured: a Ray actor with an agent in it takes 60 to 70 MiB of its own; the rest is room for turns."""

RESERVED_MIB = 3 * 1024
"""Ray's head, Serve, the stores, the embedded model, and something for everybody else."""

AGENTS_PER_CORE = 4
MISSION_AGENTS = 200
SYSTEM_CPUS = 3
"""Logical CPUs for the controller, Serve and the gateway's replicas."""


class Machine(Value):
    """`memory_mib` is what is available now."""

    cores: int
    memory_mib: int


def most_agents(machine: Machine) -> int:
    """How many fit into memory; at least one a pool."""
    return max(len(POOLS), (machine.memory_mib - RESERVED_MIB) // AGENT_MIB)


def default_agents(machine: Machine) -> int:
    """Agents of a fleet nobody sized: four a core, as memory allows, at most the mission's 200."""
    return max(len(POOLS), min(MISSION_AGENTS, AGENTS_PER_CORE * machine.cores, most_agents(machine)))


def logical_cpus(machine: Machine, *, agents: int, cpus_per_agent: float) -> int:
    """CPUs to declare for a local Ray: agents wait for models more than they compute, so memory is the bound."""
    room = max(agents, min(most_agents(machine), MISSION_AGENTS + 50))
    return max(machine.cores, math.ceil(room * cpus_per_agent * 1.1) + SYSTEM_CPUS)


def fitted_scaling(scaling: ScalingSettings, machine: Machine, *, agents: int) -> ScalingSettings:
    """On one machine: the fleet's floor is not above what was asked for, its ceiling not above what memory holds.

    Bounds that somebody set stay as they are.
    """
    rules = scaling.rules
    room = max(agents, most_agents(machine))
    fitting = {"fleet_floor": min(rules.fleet_floor, agents), "fleet_ceiling": min(rules.fleet_ceiling, room)}
    changed = {name: value for name, value in fitting.items() if name not in rules.model_fields_set}
    return scaling.model_copy(update={"rules": rules.model_copy(update=changed)})


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
