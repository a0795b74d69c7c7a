"""How many agents a machine holds, and how many logical CPUs Ray is told it has."""

from __future__ import annotations

import math

from ossa.contracts.configuration import ScalingSettings
from ossa.contracts.fleet import POOLS
from ossa.contracts.value import Value

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
