"""Arrivals and durations, from a series of counts or from single events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import SAMPLE_S

Floats = NDArray[np.float64]

MINUTE_S = 60.0
SPREAD = 0.5
"""Sigma of the log-normal durations where a series says nothing of them."""


@dataclass(frozen=True, slots=True)
class Trace:
    """`arrivals`: seconds after `start`, ascending; `durations`: seconds, same length.

    `past`: turns at once before `start`, means of ten seconds, oldest first, to learn from. `thinned`: so many real
    tasks are one here, with the same turns at once.
    """

    name: str
    start: datetime
    seconds: float
    arrivals: Floats
    durations: Floats
    past: Floats
    thinned: int = 1

    def needs(self) -> Floats:
        """Turns at once that a fleet which is never short would run, a minute's mean each."""
        return concurrency(self.arrivals, self.durations, self.seconds)

    def past_by_minute(self) -> Floats:
        """Shape (minutes, samples a minute)."""
        return self.past.reshape(-1, round(MINUTE_S / SAMPLE_S))


def concurrency(arrivals: Floats, durations: Floats, seconds: float, step_s: float = MINUTE_S) -> Floats:
    """Mean turns at once in each step of [0, seconds): work done until a time, by differences."""
    edges = np.arange(0.0, seconds + step_s / 2, step_s)
    ends = np.sort(arrivals + durations)
    begins = np.sort(arrivals)
    return np.asarray(np.diff(_elapsed(begins, edges) - _elapsed(ends, edges)) / step_s)


def _elapsed(times: Floats, edges: Floats) -> Floats:
    """Sum over times of max(0, edge - time), at each edge."""
    sums = np.concatenate(([0.0], np.cumsum(times)))
    count = np.searchsorted(times, edges)
    return np.asarray(count * edges - sums[count])


def from_counts(
    name: str,
    start: datetime,
    counts: Floats,
    step_s: float,
    *,
    first: int,
    last: int,
    mean_s: float,
    seed: int,
    most_tasks: int,
) -> Trace:
    """Steps [first, last) of a series, whose tasks take `mean_s` each; what lies before is the past.

    Where there are more than `most_tasks`, one stands for many and takes as many times as long. Tasks arrive at random
    within a step and last differently long; evenly and equally where one stands for many, whose noise would be more
    than the real one.
    """
    rng = np.random.default_rng(seed)
    thinned = max(1, int(np.ceil(counts[first:last].sum() / most_tasks)))
    until = np.concatenate(([0.0], np.cumsum(counts[:last] / thinned)))
    whole = np.diff(np.floor(until + 0.5)).astype(int)
    steps = np.repeat(np.arange(last), whole)
    rank = np.arange(len(steps)) - np.repeat(np.cumsum(whole) - whole, whole)
    within = rng.random(len(steps))
    if thinned > 1:
        within = (rank + within) / whole[steps]
    arrivals = (steps + within) * step_s
    arrivals.sort()
    durations = np.full(len(arrivals), mean_s * thinned)
    if thinned == 1:
        durations *= rng.lognormal(-(SPREAD**2) / 2, SPREAD, len(arrivals))
    return _cut(name, start, arrivals, durations, first * step_s, last * step_s, thinned)


def from_events(name: str, start: datetime, arrivals: Floats, durations: Floats, *, first_s: float) -> Trace:
    """Events as they were; those before `first_s` are the past."""
    order = np.argsort(arrivals, kind="stable")
    seconds = np.ceil((arrivals.max() + 1) / MINUTE_S) * MINUTE_S
    return _cut(name, start, arrivals[order], durations[order], first_s, float(seconds), 1)


def _cut(
    name: str, start: datetime, arrivals: Floats, durations: Floats, first_s: float, last_s: float, thinned: int
) -> Trace:
    first_s = first_s // MINUTE_S * MINUTE_S
    past = concurrency(arrivals, durations, first_s, SAMPLE_S) if first_s else np.zeros(0)
    chosen = arrivals >= first_s
    return Trace(
        name=name,
        start=start + timedelta(seconds=first_s),
        seconds=(last_s - first_s) // MINUTE_S * MINUTE_S,
        arrivals=arrivals[chosen] - first_s,
        durations=durations[chosen],
        past=past,
        thinned=thinned,
    )
