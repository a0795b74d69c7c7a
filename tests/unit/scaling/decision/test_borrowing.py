"""Standbys that work for a pool while it may not be scaled, and go back when it needs them no more."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from ossa.contracts.scaling import PoolBounds, PoolDecision, ScaleRules
from ossa.scaling.decision import PoolState, ScalerInput, ScalerState, Verdict, decide
from tests.unit.scaling.decision.test_promises import World, own
from tests.unit.scaling.decision.worlds import RULES, START, forecast, inputs, steady, worlds

COOLING = {"cooldown_s": 250.0}


def after(**said: Any) -> ScalerState:
    return ScalerState(at=START, pools={"security": PoolState(**said)})


def borrowed(verdict: Verdict) -> int:
    (pool,) = verdict.decision.pools
    assert verdict.state.pools["security"].borrowed_standbys == pool.lent
    return pool.lent


def of(seen: ScalerInput, state: ScalerState, rules: ScaleRules = RULES) -> PoolDecision:
    return decide(seen, state, rules).decision.pools[0]


def test_a_pool_in_its_cool_down_is_lent_what_is_expected_past_its_agents() -> None:
    verdict = decide(
        inputs(20, steady(20, running=18.0), forecasts=forecast(22.0, upper=27.0)), after(**COOLING), RULES
    )
    assert verdict.decision.pools[0].agents == 20
    assert borrowed(verdict) == 7
    assert verdict.decision.standby == 7


def test_rules_ask_as_if_nothing_were_lent() -> None:
    """20 agents would be at 78% of CPU; with six borrowed ones they are at 60%."""
    helped = steady(26, running=15.6, cpu=0.6)
    assert of(inputs(20, helped), after(borrowed_standbys=6)).agents == 24
    assert of(inputs(20, helped), after(borrowed_standbys=6, **COOLING)).agents == 20
    assert of(inputs(26, helped), after()).agents == 26


def test_a_loan_follows_a_need_that_left_its_forecast_behind() -> None:
    """The band reached 4 above the median; 30 turns are there already."""
    verdict = decide(
        inputs(20, steady(20, running=30.0), forecasts=forecast(18.0, upper=22.0)), after(**COOLING), RULES
    )
    assert borrowed(verdict) == 14


def test_a_loan_that_is_needed_no_more_goes_back() -> None:
    quiet = steady(24, running=12.0)
    verdict = decide(inputs(20, quiet, forecasts=forecast(12.0)), after(borrowed_standbys=4, **COOLING), RULES)
    assert borrowed(verdict) == 0
    assert verdict.decision.standby == 0


def test_a_loan_at_work_stays_when_the_forecast_is_switched_off() -> None:
    busy = steady(26, running=24.0, cpu=0.5)
    off = inputs(20, busy, forecasts=forecast(30.0, trusted=False))
    verdict = decide(off, after(borrowed_standbys=6, **COOLING), RULES)
    assert borrowed(verdict) == 4
    assert verdict.decision.standby == 4


def test_a_loan_stays_where_samples_are_missing() -> None:
    assert borrowed(decide(inputs(20), after(borrowed_standbys=3), RULES)) == 3


def test_without_a_forecast_nothing_is_lent() -> None:
    verdict = decide(inputs(20, steady(20, running=24.0, cpu=0.9)), after(**COOLING), RULES)
    assert (borrowed(verdict), verdict.decision.standby) == (0, 0)


def test_standbys_that_are_always_held_stay_for_agents_that_are_lost() -> None:
    rules = RULES.model_copy(update={"standby": 3})
    verdict = decide(inputs(20, steady(20, running=18.0), forecasts=forecast(22.0)), after(**COOLING), rules)
    assert borrowed(verdict) == 2
    assert verdict.decision.standby == 5


def test_a_pool_never_works_with_more_than_its_ceiling() -> None:
    rules = RULES.model_copy(update={"pools": {"security": PoolBounds(ceiling=22)}})
    assert of(inputs(20, steady(20, running=18.0), forecasts=forecast(30.0)), after(**COOLING), rules).lent == 2


def test_a_loan_keeps_no_block() -> None:
    quiet = steady(24, running=2.0)
    assert of(inputs(20, quiet), after(borrowed_standbys=4)).agents == 16


def test_a_switched_off_horizon_leaves_the_others_their_say() -> None:
    near, *far = forecast(40.0, trusted=False)[:1] + forecast(23.0)[1:]
    decided = of(inputs(20, steady(20, running=18.0), forecasts=(near, *far)), after(**COOLING))
    assert decided.lent == 3
    assert any("switched off" in reason for reason in decided.reasons)


def test_a_dry_run_says_what_would_be_lent_and_lends_nothing() -> None:
    seen = inputs(20, steady(20, running=18.0), forecasts=forecast(22.0))
    dry = decide(seen, after(**COOLING), RULES, dry_run=True)
    assert dry.decision.pools[0].lent == 2
    assert dry.state.pools["security"].borrowed_standbys == 0


@given(worlds())
def test_no_more_is_lent_than_there_is_and_no_pool_passes_its_ceiling(world: World) -> None:
    seen, state, rules = world
    decision = decide(seen, state, rules).decision
    assert sum(one.lent for one in decision.pools) <= max(0, decision.standby - rules.standby)
    for one in decision.pools:
        assert one.lent >= 0
        assert one.lent == 0 or one.agents + one.lent <= own(rules, one.pool).ceiling


def test_a_state_of_an_older_version_keeps_what_was_borrowed() -> None:
    state = ScalerState.model_validate_json('{"pools": {"security": {"cooldown_s": 20.0, "lent": 3}}}')
    assert state.pools["security"].borrowed_standbys == 3
    assert ScalerState.model_validate_json(state.model_dump_json()) == state
