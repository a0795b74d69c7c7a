"""Knows the trace: the fewest agents with which nobody waits, given what a start takes."""

from __future__ import annotations

import numpy as np

from lab.simulator.machine import Machine
from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.trace import Trace
from ossa.contracts.scaling import SAMPLE_S


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
