"""When to go past the cool-down, once, and how far."""

from __future__ import annotations

import math

from ossa.contracts.scaling import ScaleRules
from ossa.scaling.decision.reading import Reading
from ossa.scaling.decision.state import PoolState


def cause(reading: Reading | None, alerted: bool, rules: ScaleRules) -> str | None:
    """Why there is an emergency now; None: there is none."""
    if alerted:
        return "critical alert"
    if reading is None or not reading.growing:
        return None
    limit = rules.emergency_queue * max(reading.places, reading.slots * rules.block_agents)
    return f"{reading.queued} turns wait, and more each time" if reading.queued > limit else None


def reach(reading: Reading | None, alerted: bool, size: int, rules: ScaleRules) -> int:
    """Agents at once: all that is allowed for an alert, what runs and waits now for a queue."""
    most = int(max(size, 1) * rules.emergency_factor)
    if alerted or reading is None:
        return most
    return min(most, math.ceil((reading.need + reading.queued) / reading.slots))


def after(state: PoolState, why: str | None, acted: bool, rules: ScaleRules) -> PoolState:
    """Disarmed by acting; armed again when the cause was away and the watch is over."""
    if acted:
        return state.model_copy(update={"armed": False, "watch_s": rules.emergency_watch_s})
    if not state.armed and why is None and state.watch_s <= 0:
        return state.model_copy(update={"armed": True})
    return state
