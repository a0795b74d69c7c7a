"""Proposes one pool's size by the rules alone and with the forecast, before the fleet's bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ossa.contracts.scaling import SAMPLE_S, ScaleRules, StartUp
from ossa.scaling.decision.expectation import Expectation
from ossa.scaling.decision.reading import Reading
from ossa.scaling.decision.state import PoolState
from ossa.scaling.decision.triggers import (
    block_less,
    blocks_up,
    bounds,
    emergency_cause,
    emergency_reach,
    fewest,
    may_shrink,
    most_at_once,
    settled,
    wanted,
)


@dataclass(slots=True)
class Proposal:
    """`rules` and `forecast` are numbers of agents; `forecast` is never below `rules`. Filled in step by step."""

    pool: str
    size: int
    reading: Reading | None
    expectation: Expectation | None
    state: PoolState
    rules: int
    forecast: int
    emergency: bool = False
    cause: str | None = None
    shrink_to: int | None = None
    """Where the scale-in ends that begins or goes on at this tick."""
    reasons: list[str] = field(default_factory=list)


def propose(
    pool: str,
    size: int,
    reading: Reading | None,
    expectation: Expectation | None,
    state: PoolState,
    alerted: bool,
    rules: ScaleRules,
    start_up: StartUp,
) -> Proposal:
    """Proposes a size for one pool by itself, within its own floor and ceiling."""
    made = Proposal(pool, size, reading, expectation, state, rules=size, forecast=size)
    _by_rules(made, alerted, rules)
    _by_forecast(made, rules, start_up)
    return made


def _by_rules(made: Proposal, alerted: bool, rules: ScaleRules) -> None:
    own, size, state = bounds(made.pool, rules), made.size, made.state
    made.cause = emergency_cause(made.reading, alerted, rules)
    if made.cause and state.armed and size < own.ceiling:
        aim = emergency_reach(made.reading, alerted, size, rules)
        most = int(max(size, 1) * rules.emergency_factor)
        raised = max(own.floor, min(blocks_up(aim, rules.block_agents), most, own.ceiling))
        if raised > size:
            made.rules, made.emergency = raised, True
            made.reasons.append(f"emergency: {made.cause}; {size} to {made.rules} agents at once")
            return
    if size < own.floor:
        made.rules = own.floor
        made.reasons.append(f"floor {own.floor}")
        return
    if made.reading is None:
        made.reasons.append("samples are missing: held")
        return
    aim, why = wanted(made.reading, size, rules)
    if aim > size:
        raised = max(size, min(blocks_up(aim, rules.block_agents), most_at_once(size, rules), own.ceiling))
        if state.cooldown_s > 0:
            why.append(f"{raised} wanted, cool-down has {state.cooldown_s:.0f} s left")
        else:
            made.rules = raised
        made.reasons += why
        return
    _less(made, rules)


def _less(made: Proposal, rules: ScaleRules) -> None:
    """Takes one block away if every rule agrees: the first or the next one of a scale-in."""
    own, size, state, reading = bounds(made.pool, rules), made.size, made.state, made.reading
    left = max(block_less(size, rules.block_agents), own.floor)
    goes_on = state.shrink_to is not None and size > state.shrink_to
    if left >= size or state.watch_s > 0 or (state.cooldown_s > 0 and not goes_on):
        return
    if size > own.ceiling and not goes_on:
        made.rules = left
        made.reasons.append(f"over the ceiling {own.ceiling}: one block less")
        return
    agreed, why = may_shrink(reading, size, rules)
    made.reasons.append(why)
    if reading is None:
        return
    if agreed:
        made.rules = max(left, state.shrink_to or 0) if goes_on else left
        made.shrink_to = state.shrink_to if goes_on else fewest(reading, size, own.floor, rules)
    elif goes_on and reading.complete and not settled(reading, size):
        made.shrink_to = state.shrink_to


def _by_forecast(made: Proposal, rules: ScaleRules, start_up: StartUp) -> None:
    """Keeps agents that are expected to be needed before the next change, and adds those that are needed soon.

    Soon is before agents requested at the next tick could be up, or the first horizon. A raise covers all of the
    cool-down that follows it.
    """
    made.forecast = made.rules
    if made.expectation is None or made.reading is None:
        return
    own, slots = bounds(made.pool, rules), made.reading.slots
    until = rules.cooldown_s + start_up.agent_s + SAMPLE_S
    turns = made.expectation.most(until, rules.agents_quantile)
    aim = min(blocks_up(turns / slots, rules.block_agents), own.ceiling)
    said = f"forecast: {turns:.1f} turns within {until:.0f} s"
    if aim <= made.rules:
        return
    if aim <= made.size:
        made.forecast = max(made.rules, aim)
        made.reasons.append(f"{said}: kept")
        return
    made.forecast = max(made.rules, made.size)
    soon = made.expectation.soon(start_up.agent_s + SAMPLE_S, rules.agents_quantile)
    if soon <= made.size * slots:
        made.reasons.append(f"{said}: {aim} wanted, but not yet")
    elif made.state.cooldown_s > 0:
        made.reasons.append(f"{said}: {aim} wanted, cool-down has {made.state.cooldown_s:.0f} s left")
    else:
        made.forecast = max(made.rules, min(aim, most_at_once(made.size, rules)))
        made.reasons.append(said)
