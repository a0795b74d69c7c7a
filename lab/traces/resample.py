"""A trace as a pool's samples: arrivals, and turns at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lab.simulator.trace import concurrency
from lab.traces.forms import Counts, Events, Series
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import SAMPLE_S, PoolSample

Floats = NDArray[np.float64]

MOST_SAMPLES = 4_000_000
"""More than a year."""


@dataclass(frozen=True, slots=True)
class Load:
    """All of shape (N,): seconds after the trace's start at which samples end, whole turns asked for, turns at once."""

    ends_s: Floats
    arrivals: NDArray[np.int64]
    running: Floats

    def __len__(self) -> int:
        return len(self.ends_s)

    @property
    def seconds(self) -> float:
        """Until the last sample's end."""
        return float(self.ends_s[-1])

    def samples(self, pool: str, start: datetime) -> Iterator[PoolSample]:
        """Returns samples of a trace that begins at `start`. Fields that only a running pool knows stay unknown."""
        for end_s, arrivals, running in zip(
            self.ends_s.tolist(), self.arrivals.tolist(), self.running.tolist(), strict=True
        ):
            yield PoolSample(pool=pool, at=start + timedelta(seconds=end_s), arrivals=arrivals, running=running)


def resample(series: Series, turn_s: float | None = None) -> Load:
    """Whole samples alone, and none where the trace does not know its turns.

    Args:
        turn_s: mean seconds of a turn, where the trace says nothing.

    Raises:
        InvalidRequest: `turn_s` is needed; or the trace is shorter than a sample, or longer than `MOST_SAMPLES`.
    """
    load = _of_counts(series, turn_s) if isinstance(series, Counts) else _of_events(series, turn_s)
    if not len(load):
        raise InvalidRequest(f"{series.name} is shorter than a sample of {SAMPLE_S:g} s.")
    return load


def _of_counts(counts: Counts, turn_s: float | None) -> Load:
    """A step's turns come evenly; turns at once are their rate times their mean duration (Little 1961)."""
    if turn_s is None:
        raise InvalidRequest(
            f"{counts.name} is a series and says nothing of durations: say what a turn takes.", param="task-seconds"
        )
    knots = np.arange(len(counts.values) + 1) * counts.step_s
    edges = _edges(counts.name, float(knots[-1]))
    known = np.isfinite(counts.values)
    turns = np.interp(edges, knots, _summed(np.where(known, counts.values, 0.0)))
    known_s = np.diff(np.interp(edges, knots, _summed(known * counts.step_s)))
    kept = known_s > SAMPLE_S * (1 - 1e-9)
    arrivals = np.diff(np.floor(turns + 0.5)).astype(np.int64)
    running = np.diff(turns) / SAMPLE_S * turn_s
    return Load(edges[1:][kept], arrivals[kept], running[kept])


def _of_events(events: Events, turn_s: float | None) -> Load:
    """Turns that were running when the trace began are not in it; samples end with its last arrival."""
    missing = np.isnan(events.durations)
    if missing.any() and turn_s is None:
        raise InvalidRequest(
            f"{events.name}: {missing.sum()} turns have no duration: say what one takes.", param="task-seconds"
        )
    durations = np.where(missing, turn_s or 0.0, events.durations)
    seconds = (events.arrivals[-1] // SAMPLE_S + 1) * SAMPLE_S
    edges = _edges(events.name, float(seconds))
    arrivals = np.diff(np.searchsorted(events.arrivals, edges))
    running = concurrency(events.arrivals, durations, float(seconds), SAMPLE_S)
    return Load(edges[1:], arrivals, np.maximum(running, 0.0))


def _edges(name: str, seconds: float) -> Floats:
    count = int(seconds / SAMPLE_S + 1e-9)
    if count > MOST_SAMPLES:
        raise InvalidRequest(f"{name} has {count} samples of {SAMPLE_S:g} s; at most {MOST_SAMPLES}.")
    return np.arange(count + 1, dtype=np.float64) * SAMPLE_S


def _summed(values: Floats) -> Floats:
    return np.concatenate((np.zeros(1), np.cumsum(values)))
