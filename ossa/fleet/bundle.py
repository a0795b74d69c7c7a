"""What a block reserves on one node: a block is never spread over two."""

from __future__ import annotations

from ossa.contracts.configuration import FleetSettings

MIB = 2**20


def block_bundle(agents: int, fleet: FleetSettings) -> dict[str, float]:
    """Ray's resources of a block of so many agents: logical CPUs; bytes of memory, where agents reserve any."""
    bundle = {"CPU": round(agents * fleet.cpus_per_agent, 4)}
    if fleet.memory_per_agent_mib:
        bundle["memory"] = agents * fleet.memory_per_agent_mib * MIB
    return bundle
