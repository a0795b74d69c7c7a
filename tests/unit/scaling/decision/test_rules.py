"""The rules one by one, on a pool that is otherwise quiet."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.scaling import PoolDecision, ScaleRules, StartUp
from ossa.scaling.decision import PoolState, ScalerInput, ScalerState, decide
from tests.unit.scaling.decision.worlds import RULES, START, exploding, forecast, inputs, later, sample, steady


def of(seen: ScalerInput, state: ScalerState | None = None, rules: ScaleRules = RULES) -> PoolDecision:
    return decide(seen, state or ScalerState(), rules).decision.pools[0]


def cooling(seconds: float, **said: Any) -> ScalerState:
    return ScalerState(at=START, pools={"security": PoolState(cooldown_s=seconds, **said)})


@pytest.mark.parametrize(
    ("said", "agents", "word"),
    [
        ({"cpu": 0.71}, 24, "CPU"),
        ({"cpu": 0.98}, 28, "CPU"),
        ({"memory": 0.76}, 24, "memory"),
        ({"queue_wait_s": 1.2}, 24, "queue wait"),
        ({"latency_p99_s": 31.0}, 24, "p99"),
        ({"error_rate": 0.06}, 24, "errors"),
    ],
)
def test_each_trigger_raises_by_whole_blocks_and_says_why(said: dict[str, float], agents: int, word: str) -> None:
    rules = RULES.model_copy(update={"latency_p99_s": 30.0})
    decided = of(inputs(20, steady(20, running=18.0, **said)), rules=rules)
    assert decided.agents == agents
    assert any(word in reason for reason in decided.reasons)


@pytest.mark.parametrize("said", [{"cpu": 0.69}, {"memory": 0.74}, {"queue_wait_s": 0.95}, {"error_rate": 0.05}])
def test_near_a_trigger_nothing_moves_either_way(said: dict[str, float]) -> None:
    assert of(inputs(20, steady(20, running=10.0, **said))).agents == 20


def test_one_high_sample_does_not_raise_by_cpu() -> None:
    quiet = steady(20, -10.0, running=18.0, cpu=0.6)
    assert of(inputs(20, (*quiet, sample(20, cpu=0.99, running=18.0)))).agents == 20


def test_a_quiet_pool_gives_up_one_block() -> None:
    assert of(inputs(20, steady(20, running=2.0))).agents == 16


def test_a_pool_that_does_not_end_on_a_block_gives_up_what_is_over() -> None:
    assert of(inputs(22, steady(22, running=2.0))).agents == 20


@pytest.mark.parametrize(
    "said",
    [
        {"cpu": 0.60},
        {"memory": 0.72},
        {"queue_wait_s": 0.9},
        {"error_rate": 0.049},
        {"running": 17.0},
        {"starting": 1},
    ],
)
def test_one_rule_that_disagrees_keeps_all_blocks(said: dict[str, float]) -> None:
    assert of(inputs(20, steady(20, **said))).agents == 20


@pytest.mark.parametrize(("seconds", "calm_s", "agents"), [(50.0, 60.0, 20), (260.0, 300.0, 20), (260.0, 60.0, 16)])
def test_a_busy_moment_keeps_all_blocks_as_long_as_the_rules_say(seconds: float, calm_s: float, agents: int) -> None:
    samples = tuple(
        sample(20, -seconds, running=19.0) if one.at == later(-seconds) else one for one in steady(20, running=2.0)
    )
    assert of(inputs(20, samples), rules=RULES.model_copy(update={"calm_s": calm_s})).agents == agents


def test_the_next_block_goes_when_the_last_one_has_drained() -> None:
    assert of(inputs(16, steady(18, running=2.0))).agents == 16
    assert of(inputs(16, steady(16, running=2.0))).agents == 12


def test_a_believed_forecast_keeps_what_will_be_needed() -> None:
    quiet = steady(20, running=8.0)
    assert of(inputs(20, quiet)).agents == 16
    assert of(inputs(20, quiet, forecasts=forecast(18.0))).agents == 20


def test_a_forecast_raises_before_the_load_is_there() -> None:
    decided = of(inputs(20, steady(20, running=15.0), forecasts=forecast(26.0, upper=30.0)))
    assert decided.agents == 28
    assert any("forecast" in reason for reason in decided.reasons)


def test_a_forecast_that_is_switched_off_or_old_raises_nothing() -> None:
    busy = steady(20, running=15.0, cpu=0.6)
    for off in (forecast(30.0, trusted=False), forecast(30.0, -9_000.0)):
        decided = of(inputs(20, busy, forecasts=off))
        assert decided.agents == 20
        assert any("forecast" in reason for reason in decided.reasons)


def test_standbys_reach_up_to_the_upper_band() -> None:
    near, *far = forecast(15.0, upper=25.0)[:1] + forecast(15.0, upper=40.0)[1:]
    seen = inputs(20, steady(20, running=15.0, cpu=0.6), forecasts=(near, *far))
    calm = RULES.model_copy(update={"agents_quantile": 0.5})
    few = decide(seen, ScalerState(), calm).decision
    assert (few.pools[0].agents, few.standby) == (20, 5)
    full = ScalerInput(now=seen.now, sizes=seen.sizes, samples=seen.samples, forecasts=seen.forecasts, nodes=1)
    cold = decide(full, ScalerState(), calm, StartUp(agents_per_node=20)).decision
    assert few.standby < cold.standby <= 20


def test_a_forecast_leaves_room_for_the_standbys_that_are_always_held() -> None:
    rules = RULES.model_copy(update={"fleet_ceiling": 30, "standby": 5})
    decided = decide(inputs(20, steady(20, running=18.0), forecasts=forecast(40.0)), ScalerState(), rules).decision
    assert (decided.pools[0].agents, decided.standby) == (25, 5)


def test_an_alert_takes_a_pool_to_five_times_at_once_past_the_cool_down() -> None:
    decided = of(inputs(40, steady(40), alerts=frozenset({"security"})), cooling(250.0))
    assert (decided.agents, decided.emergency) == (200, True)


def test_an_emergency_is_not_rounded_up_past_five_times() -> None:
    assert of(inputs(1, steady(1), alerts=frozenset({"*"}))).agents == 5


def test_a_forecast_waits_for_the_cool_down_too() -> None:
    seen = inputs(20, steady(20, running=15.0, cpu=0.6), forecasts=forecast(30.0))
    assert of(seen, cooling(100.0)).agents == 20
    assert of(seen).agents == 32


def test_a_forecast_of_later_waits_until_it_is_soon() -> None:
    near, *far = forecast(15.0)[:1] + forecast(30.0)[1:]
    decided = of(inputs(20, steady(20, running=15.0, cpu=0.6), forecasts=(near, *far)))
    assert decided.agents == 20
    assert any("not yet" in reason for reason in decided.reasons)


def test_a_forecast_raises_to_twice_the_agents_at_most() -> None:
    assert of(inputs(20, steady(20, running=15.0, cpu=0.6), forecasts=forecast(60.0))).agents == 40


def test_a_queue_that_explodes_is_an_emergency_sized_by_what_waits() -> None:
    decided = of(inputs(20, exploding(20)), cooling(250.0))
    assert decided.emergency
    assert 60 < decided.agents <= 100


def test_a_long_queue_that_shrinks_is_none() -> None:
    samples = (*steady(20, -30.0), *(sample(20, -10.0 * (2 - n), queued=60 - n, running=20.0) for n in range(3)))
    assert not of(inputs(20, samples)).emergency


def test_an_emergency_comes_again_only_when_its_cause_was_away_and_the_watch_is_over() -> None:
    state, size, seen = ScalerState(), 4, []
    for number in range(200):
        alerts = frozenset() if 90 <= number < 95 else frozenset({"security"})
        now = 10.0 * number
        verdict = decide(inputs(size, steady(size, now, running=size * 0.9, cpu=0.6), now, alerts=alerts), state, RULES)
        state, size = verdict.state, verdict.decision.pools[0].agents
        if verdict.decision.pools[0].emergency:
            seen.append(number)
    assert seen == [0, 95]


def test_an_alert_that_comes_back_while_the_first_is_watched_moves_nothing() -> None:
    quiet = cooling(0.0, watch_s=400.0, armed=False)
    away = decide(inputs(20, steady(20, 10.0), 10.0), quiet, RULES)
    assert away.decision.pools[0].agents == 20
    back = decide(inputs(20, steady(20, 20.0), 20.0, alerts=frozenset({"*"})), away.state, RULES)
    assert back.decision.pools[0].agents == 20


def test_nothing_is_taken_away_while_an_emergency_is_watched() -> None:
    assert of(inputs(20, steady(20, running=2.0)), cooling(0.0, watch_s=400.0)).agents == 20


def test_a_scale_in_goes_block_by_block_to_its_end_and_the_next_one_waits_for_a_cool_down() -> None:
    state, size, changes = ScalerState(), 40, {}
    for number in range(100):
        now = 10.0 * number
        verdict = decide(inputs(size, steady(size, now, running=1.0), now), state, RULES)
        state, left = verdict.state, verdict.decision.pools[0].agents
        if left != size:
            changes[now], size = left, left
    # 30% CPU of 40 agents are 63% (90% of the trigger) of 20; then the same is seen of 20.
    assert list(changes.items())[:5] == [(0.0, 36), (10.0, 32), (20.0, 28), (30.0, 24), (40.0, 20)]
    assert list(changes.items())[5][0] == 340.0


def test_two_raises_are_a_cool_down_apart() -> None:
    state, size, raised = ScalerState(), 40, []
    for number in range(100):
        now = 10.0 * number
        verdict = decide(inputs(size, steady(size, now, running=size, cpu=0.9), now), state, RULES)
        if verdict.decision.pools[0].agents > size:
            raised.append(now)
        state, size = verdict.state, verdict.decision.pools[0].agents
    assert raised == [0.0, 300.0, 600.0, 900.0]


def test_the_fleet_keeps_fifty_and_never_has_more_than_two_hundred_and_fifty() -> None:
    mission = ScaleRules()
    quiet = dict.fromkeys(("foundation", "security"), 26)
    samples = [one for pool in quiet for one in steady(26, running=1.0, pool=pool)]
    fewer = decide(ScalerInput(now=START, sizes=quiet, samples=samples), ScalerState(), mission).decision
    assert sorted(one.agents for one in fewer.pools) == [24, 26]
    large = dict.fromkeys(quiet, 120)
    samples = [one for pool in large for one in steady(120, running=120.0, cpu=1.0, pool=pool)]
    more = decide(ScalerInput(now=START, sizes=large, samples=samples, standby=5), ScalerState(), mission).decision
    assert sum(one.agents for one in more.pools) + more.standby == 250


def test_a_fleet_below_its_floor_is_lifted_at_once_in_proportion() -> None:
    sizes = {"security": 20, "community": 10}
    samples = [one for pool, size in sizes.items() for one in steady(size, pool=pool)]
    state = ScalerState(at=START, pools={pool: PoolState(cooldown_s=200.0) for pool in sizes})
    decided = decide(ScalerInput(now=START, sizes=sizes, samples=samples), state, ScaleRules()).decision
    assert {one.pool: one.agents for one in decided.pools} == {"security": 34, "community": 16}


def test_rules_of_one_pool_go_before_the_forecast_of_another() -> None:
    sizes = {"security": 100, "community": 100}
    samples = [*steady(100, running=100.0, cpu=0.98), *steady(100, running=90.0, cpu=0.6, pool="community")]
    expected = forecast(190.0, pool="community")
    decided = decide(
        ScalerInput(now=START, sizes=sizes, samples=samples, forecasts=expected), ScalerState(), RULES
    ).decision
    assert {one.pool: one.agents for one in decided.pools} == {"security": 140, "community": 110}


def test_what_the_fleet_cannot_hold_any_more_goes_block_by_block() -> None:
    rules = RULES.model_copy(update={"fleet_ceiling": 30})
    assert of(inputs(40, steady(40, running=40.0, cpu=0.9)), rules=rules).agents == 36
    assert of(inputs(40, steady(40, running=40.0, cpu=0.9)), cooling(100.0), rules=rules).agents == 40


def test_time_is_what_looks_saw_pass() -> None:
    verdict = decide(inputs(20, steady(20, 50.0, running=2.0), 50.0), cooling(60.0), RULES)
    assert verdict.state.pools["security"].cooldown_s == pytest.approx(10.0)
    assert verdict.state.at == later(50.0)
