"""What a phase reserves on a cluster, and how large a phase a cluster carries."""

import pytest

from ossa.app.sizing import agents_on_cluster, fits, reserved_cpus, what_is_missing
from ossa.contracts.configuration import FleetSettings

FLEET = FleetSettings(cpus_per_agent=0.5, block_agents=4, standby=1)


def test_blocks_are_reserved_whole() -> None:
    assert reserved_cpus(5, FLEET) == 5 * 4 * 0.5


def test_standbys_without_room_in_a_block_reserve_their_own() -> None:
    full = FLEET.model_copy(update={"block_agents": 1})
    assert reserved_cpus(5, full) == (5 + 1) * 0.5


@pytest.mark.parametrize("cpus", [10.0, 16.0, 31.5, 64.0, 96.0])
def test_the_largest_fleet_that_fits_is_chosen(cpus: float) -> None:
    agents = agents_on_cluster([cpus], FLEET)
    assert reserved_cpus(agents, FLEET) <= cpus
    assert agents == 200 or not fits(agents + 1, [cpus], FLEET)


def test_a_block_sits_on_one_node() -> None:
    """Of 3 CPUs a block of 2 leaves 1: ten nodes carry ten blocks, one node of 30 carries fifteen."""
    assert agents_on_cluster([3.0] * 10, FLEET) < agents_on_cluster([30.0], FLEET)
    assert not fits(5, [1.9] * 10, FLEET)


def test_a_standby_needs_no_block() -> None:
    """Five blocks are full with 20 agents; the standby fits what they leave, or nothing."""
    pools = FLEET.model_copy(update={"block_agents": 1})
    assert fits(5, [2.5, 0.5], pools)
    assert not fits(5, [2.5, 0.4], pools)


def test_the_missions_fleet_fits_its_cluster() -> None:
    assert agents_on_cluster([8.0] * 12, FleetSettings()) == 200


def test_a_cluster_too_small_for_one_agent_a_pool_is_told_what_is_missing() -> None:
    assert agents_on_cluster([2.0], FLEET) == 5
    said = what_is_missing(5, [2.0], FLEET)
    assert "5 agents reserve 10.0 CPUs in blocks of 2.00, each on one node, and the cluster has 2 on 1" in said
    assert what_is_missing(5, [10.0], FLEET) == ""
