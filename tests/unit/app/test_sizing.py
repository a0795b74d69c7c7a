"""A fleet that nobody sized fits the machine."""

from ossa.app.sizing import Machine, default_agents, fitted_scaling, logical_cpus, most_agents
from ossa.contracts.configuration import ScalingSettings


def test_a_small_machine_gets_one_agent_a_pool() -> None:
    assert default_agents(Machine(cores=1, memory_mib=2048)) == 5


def test_cores_bound_the_default() -> None:
    assert default_agents(Machine(cores=2, memory_mib=22_000)) == 8
    assert default_agents(Machine(cores=16, memory_mib=64_000)) == 64


def test_memory_bounds_the_default() -> None:
    machine = Machine(cores=64, memory_mib=8_000)
    assert default_agents(machine) == most_agents(machine) < 64 * 4


def test_the_default_never_exceeds_the_missions_fleet() -> None:
    assert default_agents(Machine(cores=128, memory_mib=512_000)) == 200


def test_declared_cpus_hold_the_fleet_that_was_asked_for() -> None:
    machine = Machine(cores=2, memory_mib=22_000)
    assert logical_cpus(machine, agents=250, cpus_per_agent=0.38) >= 250 * 0.38
    assert logical_cpus(machine, agents=5, cpus_per_agent=0.38) >= 200 * 0.38


def test_a_small_fleet_is_not_scaled_to_the_missions_floor() -> None:
    machine = Machine(cores=2, memory_mib=12_000)
    rules = fitted_scaling(ScalingSettings(), machine, agents=8).rules
    assert rules.fleet_floor == 8
    assert rules.fleet_ceiling == most_agents(machine) < 250


def test_bounds_that_somebody_set_stay() -> None:
    given = ScalingSettings.model_validate({"rules": {"fleet_floor": 20, "fleet_ceiling": 500}})
    rules = fitted_scaling(given, Machine(cores=2, memory_mib=12_000), agents=8).rules
    assert (rules.fleet_floor, rules.fleet_ceiling) == (20, 500)


def test_a_fleet_of_the_missions_size_has_its_bounds() -> None:
    rules = fitted_scaling(ScalingSettings(), Machine(cores=16, memory_mib=64_000), agents=200).rules
    assert (rules.fleet_floor, rules.fleet_ceiling) == (50, 250)
