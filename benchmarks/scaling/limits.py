"""What keeps anybody from planning exactly: found with the whole trace known."""

from __future__ import annotations

import numpy as np

from lab.simulator.run import covered, wasteful
from lab.simulator.trace import MINUTE_S, Floats
from ossa.contracts.scaling import ScaleRules


def most_accurate(needs: Floats, rules: ScaleRules) -> float:
    """The best spawn accuracy of a plan that keeps the rules: a change each cool-down, whole blocks, one block less.

    Dynamic programming over (cool-down, size), with changes at multiples of the cool-down: a hindsight bound for those
    times of change.
    """
    hold = max(1, round(rules.cooldown_s / MINUTE_S))
    holds = len(needs) // hold
    if not holds:
        return float("nan")
    sizes = np.arange(rules.block_agents, rules.fleet_ceiling + 1, rules.block_agents)
    minutes = np.repeat(needs[: holds * hold, None], len(sizes), axis=1)
    planned = np.broadcast_to(sizes.astype(float), minutes.shape)
    right = (covered(planned, minutes) & ~wasteful(planned, minutes)).reshape(holds, hold, -1).sum(axis=1)
    lowest = np.searchsorted(sizes, sizes / rules.step_up)
    best = right[0].astype(float)
    for gained in right[1:]:
        reached = [best[lowest[at] : at + 2].max() for at in range(len(sizes))]
        best = np.asarray(reached) + gained
    return float(best.max() / (holds * hold))


def steadiness(needs: Floats, minutes: int = 5) -> float:
    """Share of minutes whose need is within 10% of what it is so many minutes later."""
    now, then = needs[:-minutes], needs[minutes:]
    return float(np.mean(np.abs(then - now) <= 0.1 * np.maximum(then, 1.0))) if len(now) else float("nan")
