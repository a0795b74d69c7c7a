"""What a block reserves on a node."""

from ossa.contracts.configuration import FleetSettings
from ossa.fleet.placement import block_bundle


def test_a_block_reserves_the_cpus_and_the_memory_of_its_agents() -> None:
    fleet = FleetSettings(cpus_per_agent=0.33, memory_per_agent_mib=512)
    assert block_bundle(4, fleet) == {"CPU": 1.32, "memory": 2 * 2**30}


def test_no_memory_is_reserved_where_agents_reserve_none() -> None:
    assert block_bundle(1, FleetSettings(cpus_per_agent=0.38)) == {"CPU": 0.38}
