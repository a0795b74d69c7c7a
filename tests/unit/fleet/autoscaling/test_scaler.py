"""What the scaler promises, whatever happens to what it looks at."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from ossa.contracts.configuration import ScalingSettings
from ossa.contracts.scaling import PoolSample, ScaleRules
from tests.unit.fleet.autoscaling.bench import RULES, START, Bench, Saying

MINUTE, COOL_DOWN = 6, 30
"""In looks."""


async def just_grown() -> tuple[Bench, Saying]:
    """A pool that a forecast raised to 12 agents; its cool-down has begun."""
    saying = Saying(11.0)
    bench = Bench(predictor=saying)
    bench.turns = 7.0
    await bench.looks(2)
    return bench, saying


async def test_a_busy_pool_grows_and_says_why() -> None:
    bench = Bench()
    bench.fleet.cpu = 0.9
    await bench.tick()
    assert bench.size == 12
    assert "CPU 90% > 70%" in bench.reasons()


async def test_a_dry_run_decides_and_changes_nothing() -> None:
    bench = Bench("dry-run")
    bench.fleet.cpu = 0.9
    decisions = await bench.looks(2)
    assert bench.size == 8
    assert decisions[0].pools[0].agents == 12
    assert all(decision.dry_run for decision in decisions)
    assert bench.fleet.requested == []


async def test_two_scalings_are_a_cool_down_apart_also_over_a_restart() -> None:
    bench = Bench()
    bench.fleet.cpu = 0.95
    grown = []
    for number in range(2 * COOL_DOWN):
        before = bench.size
        await bench.tick()
        if bench.size > before:
            grown.append(number)
        if number == 10:
            await bench.restart()
    assert len(grown) == 2
    assert grown[1] - grown[0] >= COOL_DOWN


async def test_without_reports_of_any_gateway_a_pool_is_held() -> None:
    bench = Bench()
    await bench.looks(2)
    bench.silent = True
    await bench.looks(3)
    bench.fleet.cpu = 0.99
    await bench.looks(2 * COOL_DOWN)
    assert bench.size == 8
    assert "samples are missing" in bench.reasons()


@pytest.mark.parametrize("error", [RuntimeError("broken"), TimeoutError(), MemoryError()])
async def test_rules_decide_without_a_predictor_that_fails(error: Exception) -> None:
    bench = Bench(predictor=Saying(error=error))
    bench.fleet.cpu = 0.9
    await bench.looks(2)
    assert bench.size == 12
    assert bench.scaler.status().predictor.startswith("none - ")


@pytest.mark.parametrize("said", [math.nan, math.inf, -5.0, 1e9, 0.0])
async def test_a_forecast_gone_wild_never_scales_beyond_bounds(said: float) -> None:
    rules = ScaleRules(fleet_floor=0, fleet_ceiling=20, block_agents=4)
    bench = Bench(predictor=Saying(said), rules=rules)
    for _ in range(3 * COOL_DOWN):
        await bench.tick()
        assert 0 < bench.size + bench.fleet.standby <= 20
    calm = Bench(rules=rules)
    await calm.looks(3 * COOL_DOWN)
    assert bench.size >= calm.size  # alone it never lowers


async def test_a_forecast_raises_before_the_load_is_there() -> None:
    bench = Bench(predictor=Saying(11.0))
    bench.turns = 7.0
    await bench.looks(2)
    assert bench.size == 12
    assert (await bench.stores.scaling.decisions())[0].by == "forecast"


async def test_standbys_work_for_a_pool_in_its_cool_down_and_go_back_when_it_needs_them_no_more() -> None:
    bench, saying = await just_grown()
    assert (bench.size, bench.fleet.borrowed["security"]) == (12, 0)  # a cool-down has begun
    saying.median = 15.0
    bench.turns = 12.0
    await bench.looks(2)
    assert (bench.size, bench.fleet.borrowed["security"], bench.fleet.standby) == (12, 3, 3)
    assert (await bench.stores.scaling.decisions())[0].pools[0].lent == 3
    saying.median = 3.0
    bench.turns = 3.0
    await bench.looks(MINUTE + 2)
    assert (bench.size, bench.fleet.borrowed["security"], bench.fleet.standby) == (12, 0, 0)


async def test_what_was_forecast_last_counts_while_the_predictor_is_late_and_no_longer() -> None:
    bench, saying = await just_grown()
    saying.median = 15.0
    await bench.looks(2)
    assert bench.fleet.standby == 3
    saying.error = TimeoutError()
    await bench.looks(2 * MINUTE)
    assert bench.fleet.standby == 3
    assert "it does not answer" in bench.scaler.status().predictor
    await bench.looks(MINUTE)
    assert bench.fleet.standby == 0
    assert "forecast is" in bench.reasons()


async def test_a_burst_of_days_ago_makes_a_forecast_believable_also_when_it_was_loaded_meanwhile() -> None:
    bench = Bench(predictor=Saying(100.0))
    bench.turns = 0.0
    await bench.looks(2)
    assert "not believed" in bench.reasons()
    days_ago = bench.now - timedelta(days=3)
    await bench.stores.scaling.add_samples([PoolSample(pool="security", at=days_ago, running=90.0)])
    await bench.looks(COOL_DOWN + 1)
    assert "not believed" not in bench.reasons()
    assert bench.size + bench.fleet.standby >= 20


async def test_a_restarted_scaler_knows_what_is_lent() -> None:
    bench, saying = await just_grown()
    saying.median = 15.0
    bench.turns = 12.0
    await bench.looks(2)
    await bench.restart()
    assert bench.scaler.borrowed_standbys == {"security": 3}
    bench.settings = ScalingSettings(mode="dry-run")
    await bench.restart()
    assert bench.scaler.borrowed_standbys == {}


async def test_forecasts_can_be_switched_off() -> None:
    bench = Bench(predictor=Saying(11.0))
    bench.settings = ScalingSettings(mode="on", forecast=False)
    await bench.restart()
    bench.turns = 7.0
    await bench.looks(2)
    assert bench.size == 8
    assert bench.scaler.status().predictor == "off"


async def test_a_critical_alert_scales_five_times_at_once_and_once() -> None:
    bench = Bench()
    bench.fleet.cpu = 0.95
    await bench.looks(2)
    assert bench.size == 12  # a cool-down has begun
    bench.scaler.alert(["security"], for_s=3600)
    bench.fleet.cpu = 0.4
    await bench.tick()
    assert bench.size == 60
    await bench.looks(2 * COOL_DOWN)
    assert bench.size <= 60
    assert bench.scaler.status().alerts == ("security",)


async def test_an_alert_ends_with_its_time() -> None:
    bench = Bench()
    bench.scaler.alert(["*"], for_s=5)
    await bench.tick()
    assert bench.size == 8
    bench.scaler.alert(["*"], for_s=60)
    bench.scaler.alert(["*"], for_s=0)
    await bench.tick()
    assert bench.size == 8


async def test_what_somebody_else_sized_is_left_alone_for_a_cool_down() -> None:
    bench = Bench()
    await bench.looks(MINUTE)
    bench.fleet.sizes["security"] = 40
    await bench.looks(COOL_DOWN - 2)
    assert bench.size == 40
    await bench.looks(2 * COOL_DOWN)
    assert bench.size < 40


async def test_a_pool_of_size_zero_stays_switched_off() -> None:
    bench = Bench(rules=ScaleRules(fleet_floor=10))
    bench.fleet.sizes["community"] = 0
    await bench.looks(2)
    assert bench.fleet.sizes == {"security": 10, "community": 0}


async def test_while_the_store_is_away_nothing_is_half_done_and_it_goes_on_afterwards() -> None:
    bench = Bench()
    await bench.looks(2)
    bench.fleet.cpu, bench.fleet.down = 0.95, True
    bench.stores.go_down()
    await bench.looks(MINUTE)
    assert bench.size == 8
    assert "not carried out" in bench.scaler.status().trouble
    bench.fleet.down = False
    bench.stores.come_back()
    await bench.tick()
    assert bench.size == 12
    assert bench.scaler.status().trouble == ""
    saved = await bench.stores.scaling.samples(since=bench.now - timedelta(hours=1))
    assert len(saved) == 2 + MINUTE + 1


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0 * 365])
async def test_a_clock_that_jumps_ends_no_cool_down(jump_s: float) -> None:
    bench = Bench()
    bench.fleet.cpu = 0.95
    await bench.looks(2)
    assert bench.size == 12
    bench.wall += jump_s
    await bench.looks(10)
    assert bench.size == 12


async def test_nodes_are_asked_for_what_is_expected_and_given_back_at_the_end() -> None:
    saying = Saying(3.0, far=90.0)
    bench = Bench(predictor=saying)
    bench.turns = 25.0
    await bench.looks(3)
    assert max(bench.fleet.requested) >= 42  # two nodes and more
    saying.far = 3.0
    await bench.looks(1)
    assert bench.fleet.requested[-1] == 0
    saying.far = 90.0
    await bench.looks(1)
    await bench.scaler.close()
    assert bench.fleet.requested[-1] == 0


async def test_for_no_more_than_blocks_hold_no_node_is_asked() -> None:
    """Blocks ask for room themselves, and Ray might keep another node for the request."""
    bench = Bench()
    bench.fleet.cpu = 0.9
    await bench.looks(3)
    assert bench.size == 12
    assert bench.fleet.requested == [0]


async def test_decisions_that_changed_something_are_kept_and_no_others() -> None:
    bench = Bench()
    bench.turns = 7.0
    await bench.looks(MINUTE)
    bench.fleet.cpu = 0.9
    await bench.looks(MINUTE)
    kept = await bench.stores.scaling.decisions()
    assert [decision.pools[0].agents for decision in kept] == [12, 8]


async def test_status_shows_pools_rules_and_the_last_decision() -> None:
    bench = Bench(predictor=Saying(3.0))
    assert bench.scaler.status().trouble == "no sample was taken yet"
    await bench.tick()
    status = bench.scaler.status()
    assert status.at is not None and status.at.timestamp() == START + 10
    assert [(one.pool, one.size, one.sample is not None) for one in status.pools] == [("security", 8, True)]
    assert status.rules == RULES
    assert status.predictor == "said"
    assert status.decision is not None and status.decision.forecasts
