"""Yesterday at this time, at the same use as the reactive autoscaler."""

from __future__ import annotations

import math

import numpy as np

from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.policies.reactive import TARGET
from lab.simulator.trace import MINUTE_S, Floats

SEASON = 1440
HOUR = 60


class Seasonal:
    """The need of the coming minute, a season ago. A season is a day; an hour, or the last minute, without one.

    It is told the true needs of what is past, which a fleet that was short never sees.
    """

    ceiling_on_miss = 0

    def __init__(self, past: Floats, needs: Floats, floor: int, ceiling: int) -> None:
        self._needs = np.concatenate((past, needs))
        self._past = len(past)
        self._season = next((length for length in (SEASON, HOUR, 1) if len(past) >= length), 1)
        self._bounds = floor, ceiling

    def plan(self, seen: Seen) -> Plan:
        if seen.second % MINUTE_S:
            return Plan(seen.agents)
        coming = self._past + round(seen.second / MINUTE_S)
        need = float(self._needs[max(0, coming - self._season)])
        floor, ceiling = self._bounds
        return Plan(min(ceiling, max(floor, math.ceil(need / TARGET))))
