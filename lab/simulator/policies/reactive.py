"""The Kubernetes Horizontal Pod Autoscaler on turns at once."""

from __future__ import annotations

import math
from collections import deque

from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.trace import MINUTE_S

TARGET = 0.7
LAG_S = 60.0
PERIOD_S = 20.0
STABILISATION_S = 300.0
TOLERANCE = 0.1
SURGE = 4


class Reactive:
    """desired = ceil(agents * use / 0.7), use being the busy share of a minute whose middle is `LAG_S` old.

    The documented defaults of autoscaling/v2: 10% tolerance, up by at most 100% or 4 at once, down to the most that
    was wanted in 300 s. Its period is two samples (the default is 15 s).
    """

    ceiling_on_miss = 0

    def __init__(self, floor: int, ceiling: int) -> None:
        self._floor, self._ceiling = floor, ceiling
        self._wanted: deque[tuple[float, int]] = deque()

    def plan(self, seen: Seen) -> Plan:
        if seen.second % PERIOD_S:
            return Plan(seen.agents)
        late = [one for one in seen.samples if abs((seen.at - one.at).total_seconds() - LAG_S) <= MINUTE_S / 2]
        ready = sum(one.agents for one in late)
        use = sum(one.running for one in late) / ready if ready else 1.0
        last = seen.samples[-1]
        wanted = seen.agents
        if abs(use / TARGET - 1) > TOLERANCE:
            wanted = math.ceil(max(1, last.agents) * use / TARGET)
        wanted = min(self._ceiling, max(self._floor, wanted))
        while self._wanted and self._wanted[0][0] < seen.second - STABILISATION_S:
            self._wanted.popleft()
        self._wanted.append((seen.second, wanted))
        if wanted > seen.agents:
            return Plan(min(wanted, max(seen.agents * 2, seen.agents + SURGE)))
        return Plan(min(seen.agents, max(size for _, size in self._wanted)))
