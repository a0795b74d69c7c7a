"""The rules: how many agents a reading asks for, whether a block may go, and when an emergency skips the cool-down."""

from __future__ import annotations

import math

from ossa.contracts.scaling import PoolBounds, ScaleRules
from ossa.scaling.decision.reading import Reading
from ossa.scaling.decision.state import PoolState

ROUNDING = 1e-9


def whole(agents: float) -> int:
    """Rounds up to whole agents, ignoring floating-point noise."""
    return math.ceil(agents - ROUNDING)


def blocks_up(agents: float, block: int) -> int:
    """Returns the agents of the fewest whole blocks that hold so many."""
    return whole(whole(agents) / block) * block


def block_less(agents: int, block: int) -> int:
    """Takes one block away; first a partial one."""
    return max(0, agents - (agents % block or block))


def bounds(pool: str, rules: ScaleRules) -> PoolBounds:
    """Returns a pool's bounds within the fleet's ceiling. If floor and ceiling cross, the ceiling holds."""
    own = rules.pools.get(pool, PoolBounds())
    ceiling = min(own.ceiling, rules.fleet_ceiling)
    return PoolBounds(floor=min(own.floor, ceiling), ceiling=ceiling)


def most_at_once(size: int, rules: ScaleRules) -> int:
    """Returns the largest size of one step up; one block is always allowed."""
    return max(int(size * rules.step_up), blocks_up(size + 1, rules.block_agents))


def wanted(reading: Reading, size: int, rules: ScaleRules) -> tuple[int, list[str]]:
    """Returns the agents that the triggers ask for, at least `size`, and the reasons.

    A share over its trigger asks for as many agents as bring it back to the trigger: n * share / trigger. Waits and
    errors give no number: they ask for one block more, or for what runs and waits now, unless agents are starting.
    """
    asked_for: list[tuple[float, str]] = []
    for name, share, trigger in (("CPU", reading.cpu, rules.cpu), ("memory", reading.memory, rules.memory)):
        if share is not None and share > trigger:
            asked_for.append((reading.agents * share / trigger, f"{name} {share:.0%} > {trigger:.0%}"))
    if reading.starting == 0 and reading.agents >= size:
        more = size + rules.block_agents
        wait, limit = reading.queue_wait_s, rules.queue_wait_s
        if wait is not None and wait > limit:
            asked_for.append((max(more, reading.need / reading.slots), f"queue wait {wait:.1f} s > {limit:g} s"))
        wait, slowest = reading.latency_p99_s, rules.latency_p99_s
        if wait is not None and slowest is not None and wait > slowest:
            asked_for.append((more, f"p99 {wait:.1f} s > {slowest:g} s"))
        if reading.error_rate is not None and reading.error_rate > rules.error_rate:
            asked_for.append((more, f"errors {reading.error_rate:.1%} > {rules.error_rate:.1%}"))
    most = whole(max((agents for agents, _ in asked_for), default=size))
    return max(size, most), [why for _, why in asked_for]


def settled(reading: Reading, size: int) -> bool:
    """Whether the last change is complete: no agent starts or drains."""
    return not reading.starting and not reading.draining and reading.agents == size


def may_shrink(reading: Reading | None, size: int, rules: ScaleRules) -> tuple[bool, str]:
    """Returns whether the pool would stay below every trigger with one block less, and the reason."""
    if reading is None or not reading.complete:
        return False, "samples are missing"
    left = block_less(size, rules.block_agents)
    if left <= 0:
        return False, "no block to spare"
    if not settled(reading, size):
        return False, "the last change is not done"
    against = _against(reading, left, rules)
    return (False, against) if against else (True, f"{left} agents stay below every trigger")


def fewest(reading: Reading, size: int, floor: int, rules: ScaleRules) -> int:
    """Returns the smallest size, block by block, that stays below every trigger as things are."""
    while (left := max(block_less(size, rules.block_agents), floor)) < size and left > 0:
        if _against(reading, left, rules):
            break
        size = left
    return size


def _against(reading: Reading, left: int, rules: ScaleRules) -> str:
    """Returns which rule objects to so few agents; empty if none does."""
    if reading.calm > left * reading.slots * rules.busy:
        return f"{reading.calm:.1f} turns at once need more than {left} agents"
    grown = reading.agents / left
    cpu = None if reading.cpu_agents is None else reading.cpu_agents / left
    shares = (
        ("CPU", cpu, 1.0, rules.cpu),
        ("memory", reading.memory, 1.0, rules.memory),
        ("queue wait", reading.queue_wait_s, grown, rules.queue_wait_s),
        ("p99", reading.latency_p99_s, grown, rules.latency_p99_s),
        ("errors", reading.error_rate, 1.0, rules.error_rate),
    )
    for name, value, growth, trigger in shares:
        if value is not None and trigger is not None and value * growth > trigger * rules.low:
            return f"{name} would be {value * growth:.2f}, near {trigger:g}"
    return ""


def emergency_cause(reading: Reading | None, alerted: bool, rules: ScaleRules) -> str | None:
    """Returns why there is an emergency now, or None."""
    if alerted:
        return "critical alert"
    if reading is None or not reading.growing:
        return None
    limit = rules.emergency_queue * max(reading.places, reading.slots * rules.block_agents)
    return f"{reading.queued} turns wait, and more each time" if reading.queued > limit else None


def emergency_reach(reading: Reading | None, alerted: bool, size: int, rules: ScaleRules) -> int:
    """Returns the size to jump to: the largest allowed one for an alert, what runs and waits now for a queue."""
    most = int(max(size, 1) * rules.emergency_factor)
    if alerted or reading is None:
        return most
    return min(most, math.ceil((reading.need + reading.queued) / reading.slots))


def after_emergency(state: PoolState, why: str | None, acted: bool, rules: ScaleRules) -> PoolState:
    """Disarms after acting; arms again once the cause is gone and the watch is over."""
    if acted:
        return state.model_copy(update={"armed": False, "watch_s": rules.emergency_watch_s})
    if not state.armed and why is None and state.watch_s <= 0:
        return state.model_copy(update={"armed": True})
    return state
