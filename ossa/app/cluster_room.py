"""What a fleet reserves on a cluster that is there, and what that cluster carries."""

from __future__ import annotations

import math

from ossa.app.sizing import MISSION_AGENTS
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import POOL_WEIGHTS, POOLS
from ossa.fleet.shares import ratio


def reserved_cpus(agents: int, fleet: FleetSettings) -> float:
    """Logical CPUs that a phase of that size reserves in Ray: whole blocks, and standbys that no block has room for."""
    pools = ratio(agents, POOL_WEIGHTS)
    places = sum(math.ceil(count / fleet.block_agents) for count in pools.values()) * fleet.block_agents
    return max(places, agents + fleet.standby) * fleet.cpus_per_agent


def agents_on_cluster(cpus: float, fleet: FleetSettings) -> int:
    """The largest phase, up to the mission's, that a cluster of so many CPUs carries; at least one agent a pool."""
    fitting = (size for size in range(MISSION_AGENTS, len(POOLS), -1) if reserved_cpus(size, fleet) <= cpus)
    return next(fitting, len(POOLS))


def what_is_missing(agents: int, cpus: float, fleet: FleetSettings) -> str:
    """A sentence for whoever asked for more than the cluster has; empty when it fits."""
    needed = reserved_cpus(agents, fleet)
    if needed <= cpus:
        return ""
    return (
        f"{agents} agents reserve {needed:.1f} CPUs and the cluster has {cpus:g}: they wait until nodes join. "
        "A Ray that is started by hand takes --num-cpus; OSSA_FLEET__CPUS_PER_AGENT and OSSA_FLEET__BLOCK_AGENTS "
        "say what is reserved."
    )
