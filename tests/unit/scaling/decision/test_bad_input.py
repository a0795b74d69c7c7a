"""Faulty clocks, samples and predictors: the rules alone hold, and the fleet stays as it is where they cannot see."""

from __future__ import annotations

import math

import pytest

from ossa.contracts.scaling import QUANTILES, ScaleDecision
from ossa.scaling.decision import PoolState, ScalerInput, ScalerState, decide
from tests.unit.scaling.decision.worlds import RULES, START, broken, forecast, inputs, later, sample, steady

BUSY = steady(20, running=17.0, cpu=0.6)
FULL = steady(20, running=20.0, cpu=0.9)
QUIET = steady(20, running=2.0)


def decided(seen: ScalerInput, state: ScalerState | None = None) -> ScaleDecision:
    return decide(seen, state or ScalerState(), RULES).decision


@pytest.mark.parametrize("value", [math.nan, math.inf, -5.0])
def test_a_forecast_that_is_no_number_leaves_the_rules_alone(value: float) -> None:
    wild = tuple(broken(one, quantiles=dict.fromkeys(QUANTILES, value)) for one in forecast(1.0))
    for samples in (BUSY, FULL, QUIET):
        told, alone = decided(inputs(20, samples, forecasts=wild)), decided(inputs(20, samples))
        assert [one.agents for one in told.pools] == [one.agents for one in alone.pools]
        assert told.standby == alone.standby


def test_a_forecast_a_hundred_times_too_high_leaves_the_rules_alone() -> None:
    for samples in (BUSY, FULL, QUIET):
        told = decided(inputs(20, samples, forecasts=forecast(1_700.0)))
        assert told.pools[0].agents == decided(inputs(20, samples)).pools[0].agents
        assert any("not believed" in reason for reason in told.pools[0].reasons)


def test_a_constant_forecast_holds_what_it_says_and_grows_nothing() -> None:
    state, size = ScalerState(), 20
    for number in range(200):
        now = 10.0 * number
        seen = inputs(size, steady(size, now, running=2.0), now, forecasts=forecast(14.0, now))
        verdict = decide(seen, state, RULES)
        state, size = verdict.state, verdict.decision.pools[0].agents
    assert size == 16


def test_a_dead_predictor_leaves_its_last_forecast_to_grow_old() -> None:
    last = forecast(30.0)
    seen = inputs(20, steady(20, 600.0, running=17.0, cpu=0.6), 600.0, forecasts=last)
    assert decided(seen).pools[0].agents == 20
    assert decided(inputs(20, steady(20, 600.0, running=20.0, cpu=0.9), 600.0, forecasts=last)).pools[0].agents == 28


def test_without_samples_nothing_moves_whatever_the_forecast_says() -> None:
    for samples in ((), steady(20, -300.0, cpu=0.99), tuple(broken(one, running=math.nan) for one in FULL)):
        told = decided(inputs(20, samples, forecasts=forecast(35.0)))
        assert told.pools[0].agents == 20
        assert "samples are missing: held" in told.pools[0].reasons


def test_signals_that_are_no_numbers_count_as_not_known() -> None:
    samples = tuple(
        broken(one, cpu=math.nan, memory=math.inf, queue_wait_s=math.nan, error_rate=math.nan) for one in BUSY
    )
    assert decided(inputs(20, samples)).pools[0].agents == 20


def test_gaps_in_the_samples_keep_all_blocks() -> None:
    assert decided(inputs(20, QUIET)).pools[0].agents == 16
    assert decided(inputs(20, QUIET[::3])).pools[0].agents == 20


@pytest.mark.parametrize("jump_s", [-86_400.0, -600.0, 600.0, 86_400.0])
def test_a_clock_that_jumps_ends_no_cool_down(jump_s: float) -> None:
    cooling = ScalerState(at=later(-jump_s), pools={"security": PoolState(cooldown_s=250.0)})
    verdict = decide(inputs(20, FULL), cooling, RULES)
    assert verdict.decision.pools[0].agents == 20
    assert 0 < verdict.state.pools["security"].cooldown_s <= 250.0


@pytest.mark.parametrize("jump_s", [-86_400.0, -600.0])
def test_a_clock_that_went_back_leaves_no_pool_stuck(jump_s: float) -> None:
    state = ScalerState(at=later(-jump_s), pools={"security": PoolState(cooldown_s=250.0)})
    for number in range(40):
        now = 10.0 * number
        verdict = decide(inputs(20, steady(20, now, running=20.0, cpu=0.9), now), state, RULES)
        state = verdict.state
        if verdict.decision.pools[0].agents > 20:
            break
    assert number == 25


def test_samples_from_the_future_and_from_long_ago_do_not_count() -> None:
    future = steady(20, 3_600.0, cpu=0.99, running=20.0)
    past = steady(20, -3_600.0, cpu=0.99, running=20.0)
    assert decided(inputs(20, (*future, *past))).pools[0].agents == 20
    assert decided(inputs(20, (*future, *QUIET, *past))).pools[0].agents == 16


def test_a_pool_that_is_not_known_is_left_aside() -> None:
    strange = sample(9, pool="nobody", cpu=0.99)
    seen = ScalerInput(
        now=START, sizes={"security": 20}, samples=(*BUSY, strange), forecasts=forecast(30.0, pool="nobody")
    )
    assert [(one.pool, one.agents) for one in decided(seen).pools] == [("security", 20)]
