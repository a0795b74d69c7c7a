"""Hybrid histogram keep-alive: Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, for a pool of agents."""

from __future__ import annotations

import numpy as np

from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.trace import MINUTE_S

RANGE_MIN = 240
HEAD, TAIL = 0.05, 0.99
MARGIN = 0.1
FEW = 10


class HybridHistogram:
    """One histogram a place in the stack of agents, as the last that was used is used first.

    The k-th agent is in use while k turns run or wait. Its idle times go into bins of a minute up to four hours; it is
    given up after use until the 5th percentile less 10%, and kept until the 99th plus 10%. With fewer than ten idle
    times it is kept for four hours. The paper's third part, ARIMA for idle times past the range, is left out: what is
    idle longer is started when a task asks for it, as any agent is that is missed.
    """

    def __init__(self, floor: int, ceiling: int) -> None:
        self.ceiling_on_miss = ceiling
        self._floor, self._ceiling = floor, ceiling
        self._bins = np.zeros((ceiling, RANGE_MIN + 1))
        self._idle_s = np.full(ceiling, np.inf)
        self._last = 0.0
        self._until = np.full(ceiling, RANGE_MIN * MINUTE_S)
        self._from = np.zeros(ceiling)

    def plan(self, seen: Seen) -> Plan:
        last = seen.samples[-1]
        level = min(self._ceiling, int(np.ceil(last.running + last.queued)))
        ended = np.flatnonzero((self._idle_s[:level] > 0) & np.isfinite(self._idle_s[:level]))
        for place in ended.tolist():
            self._learn(place)
        self._idle_s[:level] = 0.0
        self._idle_s[level:] += seen.second - self._last
        self._last = seen.second
        warm = (self._idle_s == 0) | ((self._idle_s >= self._from) & (self._idle_s <= self._until))
        return Plan(min(self._ceiling, max(self._floor, int(warm.sum()))))

    def _learn(self, place: int) -> None:
        bins = self._bins[place]
        bins[min(RANGE_MIN, int(self._idle_s[place] // MINUTE_S))] += 1
        total = bins.sum()
        if total < FEW:
            return
        share = np.cumsum(bins) / total
        head, tail = int(np.searchsorted(share, HEAD)), int(np.searchsorted(share, TAIL))
        self._from[place] = head * MINUTE_S * (1 - MARGIN)
        self._until[place] = (min(tail, RANGE_MIN - 1) + 1) * MINUTE_S * (1 + MARGIN)
