"""A burst that comes at its minute: standbys are up before it, begun as early as starting so many takes."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.scaling import QUANTILES, Forecast, StartUp
from ossa.scaling.decision import ScalerInput, ScalerState, decide
from tests.unit.scaling.decision.worlds import RULES, START, inputs, later, steady

BURST = 180
START_UP = StartUp(agent_s=4.0, agents_at_once=2, node_s=150.0, agents_per_node=200)


def said(minute: int, at: int, turns: float) -> Forecast:
    """Of the minute that begins so many minutes from now; made `at` minutes from now."""
    quantiles = dict.fromkeys(QUANTILES, turns)
    return Forecast(
        pool="security", at=later(at * 60), horizon_s=(minute + 1 - at) * 60, quantiles=quantiles, model="test"
    )


def before(minutes: int, **more: Any) -> ScalerInput:
    """20 agents that rest; the burst of 60 begins in so many minutes and is known since the horizon of 5 reached it."""
    quiet = [said(0, 0, 60.0 if minutes == 0 else 0.0), said(4, 0, 60.0 if minutes <= 4 else 0.0), said(14, 0, 60.0)]
    known = [said(minute, minute - 4, 60.0 if minute >= minutes else 0.0) for minute in (1, 2, 3)]
    told = {"samples": steady(20), "forecasts": tuple(quiet), "earlier": tuple(known), "peaks": {"security": 60.0}}
    return inputs(20, **{**told, **more})


def held(seen: ScalerInput, start_up: StartUp = START_UP) -> int:
    return decide(seen, ScalerState(), RULES, start_up).decision.standby


@pytest.mark.parametrize(("minutes", "standby"), [(3, 0), (2, 0), (1, 40)])
def test_forty_that_start_two_at_a_time_are_begun_ninety_seconds_before(minutes: int, standby: int) -> None:
    assert held(before(minutes)) == standby


def test_at_its_minute_agents_and_standbys_are_as_many_as_it_needs() -> None:
    decision = decide(before(0), ScalerState(), RULES, START_UP).decision
    assert (decision.pools[0].agents, decision.standby) == (40, 20)


def test_where_starts_take_longer_they_are_begun_earlier() -> None:
    assert held(before(3), START_UP.model_copy(update={"agents_at_once": 1})) == 0
    assert held(before(2), START_UP.model_copy(update={"agents_at_once": 1})) == 40


def test_where_nodes_have_no_room_they_are_begun_a_nodes_start_earlier() -> None:
    full = START_UP.model_copy(update={"agents_per_node": 20})
    assert held(before(3, nodes=1), full) == 40
    assert held(before(3, nodes=3), full) == 0


def test_a_need_that_was_never_seen_is_not_believed_and_one_of_last_week_is() -> None:
    (pool,) = decide(before(1, peaks={}), ScalerState(), RULES, START_UP).decision.pools
    assert any("not believed: at most 0 of late" in reason for reason in pool.reasons)
    assert held(before(1, peaks={})) == 0
    assert held(before(1, peaks={"security": float("nan")})) == 0
    assert held(before(1)) == 40


def test_what_was_said_earlier_counts_only_beside_what_is_said_now() -> None:
    seen = before(1)
    old = tuple(one.model_copy(update={"at": later(-600)}) for one in seen.forecasts)
    assert held(before(1, forecasts=())) == 0
    assert held(before(1, forecasts=old)) == 0
    doubted = tuple(one.model_copy(update={"trusted": False}) for one in seen.earlier)
    assert held(before(1, earlier=doubted)) == 0


def test_earlier_forecasts_of_minutes_that_passed_are_forgotten() -> None:
    passed = tuple(said(minute, minute - 4, 60.0) for minute in (-3, -2))
    assert held(before(6, earlier=passed)) == 0
    assert before(6).now == START


def test_standbys_stay_while_samples_are_missing() -> None:
    """Starting them made the machine busy, say, and a report is late: they are not thrown away for that."""
    assert held(before(1, samples=(), standby=40)) == 40
    assert held(before(3, standby=40)) == 0
    low = RULES.model_copy(update={"fleet_ceiling": 30})
    assert decide(before(1, samples=(), standby=40), ScalerState(), low, START_UP).decision.standby == 10
