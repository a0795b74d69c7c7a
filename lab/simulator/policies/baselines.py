"""Policies that ours is compared with.

Reactive         the Kubernetes Horizontal Pod Autoscaler on turns at once
Seasonal         yesterday at this time, at the same use as the reactive one
HybridHistogram  keep-alive by Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, for a pool of agents
Oracle           knows the trace: the fewest agents with which nobody waits, given what a start takes
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.pool import Machine
from lab.simulator.trace import MINUTE_S, Floats, Trace
from ossa.contracts.scaling import SAMPLE_S

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


class Oracle:
    """The most turns at once from now until what is started at the next look is up; nodes a cold node ahead."""

    ceiling_on_miss = 0

    def __init__(self, trace: Trace, machine: Machine, floor: int, ceiling: int) -> None:
        start_up = machine.start_up
        peaks = peaks_by_step(trace)
        self._agents = np.clip(_ahead(peaks, start_up.agent_s + SAMPLE_S), floor, ceiling).astype(int)
        far = np.clip(_ahead(peaks, start_up.node_s + start_up.agent_s + 2 * SAMPLE_S), floor, ceiling)
        self._nodes = np.ceil(far / start_up.agents_per_node).astype(int)

    def plan(self, seen: Seen) -> Plan:
        step = min(len(self._agents) - 1, round(seen.second / SAMPLE_S))
        return Plan(int(self._agents[step]), nodes=int(self._nodes[step]))


def peaks_by_step(trace: Trace) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The most turns at once in each sample's time, were nobody to wait."""
    times = np.concatenate((trace.arrivals, trace.arrivals + trace.durations))
    change = np.concatenate((np.ones(len(trace.arrivals)), -np.ones(len(trace.arrivals)))).astype(np.int64)
    order = np.lexsort((change, times))
    level = np.cumsum(change[order])
    steps = round(trace.seconds / SAMPLE_S)
    step = (times[order] // SAMPLE_S).astype(int)
    inside = step < steps
    peaks = np.zeros(steps, dtype=np.int64)
    np.maximum.at(peaks, step[inside], level[inside])
    last = np.searchsorted(times[order], np.arange(steps) * SAMPLE_S) - 1
    return np.asarray(np.maximum(peaks, np.where(last >= 0, level[last], 0)))


def _ahead(
    peaks: np.ndarray[tuple[int], np.dtype[np.int64]], seconds: float
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The most in a step and those that begin within `seconds` of it."""
    window = int(np.ceil(seconds / SAMPLE_S)) + 1
    padded = np.concatenate((peaks, np.zeros(window - 1, dtype=np.int64)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, window).max(axis=1))
