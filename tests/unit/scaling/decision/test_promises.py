"""What holds for every fleet, every state and any rubbish that comes in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.scaling import PoolBounds, ScaleDecision, ScaleRules
from ossa.scaling.decision import ScalerInput, ScalerState, decide
from tests.unit.scaling.decision.worlds import later, worlds

World = tuple[ScalerInput, ScalerState, ScaleRules]


def sizes(decision: ScaleDecision) -> dict[str, int]:
    return {one.pool: one.agents for one in decision.pools}


def own(rules: ScaleRules, pool: str) -> PoolBounds:
    return rules.pools.get(pool, PoolBounds())


@given(worlds())
def test_the_fleet_never_grows_past_its_ceiling(world: World) -> None:
    look, state, rules = world
    decision = decide(look, state, rules).decision
    total = sum(sizes(decision).values())
    assert total <= max(rules.fleet_ceiling, sum(look.sizes.values()))
    assert total + decision.standby <= max(rules.fleet_ceiling, total)
    for pool, agents in sizes(decision).items():
        assert agents <= max(own(rules, pool).ceiling, look.sizes[pool])


@given(worlds())
def test_the_fleet_has_its_floor_where_its_pools_may_hold_it(world: World) -> None:
    look, state, rules = world
    held = sum(min(own(rules, pool).ceiling, rules.fleet_ceiling) for pool in look.sizes)
    decision = decide(look, state, rules).decision
    assert sum(sizes(decision).values()) >= min(rules.fleet_floor, rules.fleet_ceiling, held)


@given(worlds())
def test_a_pool_has_its_floor_where_the_fleet_has_room(world: World) -> None:
    look, state, rules = world
    wide = rules.model_copy(update={"fleet_ceiling": 2_000})
    for pool, agents in sizes(decide(look, state, wide).decision).items():
        assert agents >= min(own(rules, pool).floor, own(rules, pool).ceiling)


@given(worlds())
def test_forecasts_alone_never_lower_anything(world: World) -> None:
    look, state, rules = world
    told = decide(look, state, rules).decision
    alone = decide(replace(look, forecasts=()), state, rules).decision
    for pool, agents in sizes(alone).items():
        assert sizes(told)[pool] >= agents
    assert told.standby + sum(sizes(told).values()) >= alone.standby + sum(sizes(alone).values())


@given(worlds())
def test_a_pool_gives_up_one_block_at_most_and_keeps_its_floor(world: World) -> None:
    look, state, rules = world
    for one in decide(look, state, rules).decision.pools:
        if one.agents < one.before:
            assert one.before - one.agents <= rules.block_agents
            assert one.agents >= min(own(rules, one.pool).floor, own(rules, one.pool).ceiling)


@given(worlds())
def test_in_a_cool_down_only_an_emergency_or_a_floor_changes_a_pool(world: World) -> None:
    look, state, rules = world
    lowest = rules.model_copy(update={"fleet_floor": 0, "pools": {}})
    passed = state.passed(look.now)
    for one in decide(look, state, lowest).decision.pools:
        if state.pool(one.pool, passed).cooldown_s > 0 and not one.emergency:
            assert one.agents == one.before


@given(worlds())
def test_no_step_is_larger_than_its_bound(world: World) -> None:
    look, state, rules = world
    lowest = rules.model_copy(update={"fleet_floor": 0, "pools": {}})
    for one in decide(look, state, lowest).decision.pools:
        if one.emergency:
            assert one.agents <= max(one.before, 1) * rules.emergency_factor
        else:
            assert one.agents <= max(one.before * rules.step_up, one.before + rules.block_agents)


@given(worlds(), st.integers(2, 12))
def test_an_emergency_happens_once_and_is_then_watched(world: World, looks: int) -> None:
    look, state, rules = world
    look = replace(look, alerts=frozenset({"*"}))
    emergencies = dict.fromkeys(look.sizes, 0)
    for number in range(looks):
        verdict = decide(replace(look, now=later(10.0 * number)), state, rules)
        state = verdict.state
        look = replace(look, sizes=sizes(verdict.decision))
        for one in verdict.decision.pools:
            if emergencies[one.pool]:
                assert one.agents >= one.before or one.before > rules.fleet_ceiling
            emergencies[one.pool] += one.emergency
    assert max(emergencies.values()) <= 1


@given(worlds())
def test_a_dry_run_decides_the_same_and_says_so(world: World) -> None:
    look, state, rules = world
    dry, real = decide(look, state, rules, dry_run=True).decision, decide(look, state, rules).decision
    assert dry.dry_run and not real.dry_run
    assert dry.pools == real.pools and dry.standby == real.standby


@given(worlds())
def test_every_change_has_a_reason(world: World) -> None:
    look, state, rules = world
    for one in decide(look, state, rules).decision.pools:
        assert one.agents == one.before or one.reasons
