"""One pool's samples, summed up. What is old, from the future or not a number does not count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ossa.contracts.scaling import SAMPLE_S, PoolSample

FRESH_S = 4.5 * SAMPLE_S
AHEAD_S = 1.5 * SAMPLE_S
"""How far another machine's clock may be ahead."""

SMOOTH_S = 60.0
GROWING = 3
"""Samples in a row with more waiting each time."""

COMPLETE = 0.8
"""Share of a window's samples without which nothing is taken away."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`cpu`, `memory`, `error_rate`: means over a minute; None: not known. `most`: turns at once, waiting ones too."""

    agents: int
    starting: int
    draining: int
    slots: float
    need: float
    """Running and waiting at the end of the last sample."""
    most: float
    """The largest need in the window."""
    queued: int
    growing: bool
    queue_wait_s: float | None
    latency_p99_s: float | None
    error_rate: float | None
    cpu: float | None
    cpu_agents: float | None
    """Agents that this CPU would fill: what stays the same while agents come and go."""
    memory: float | None
    complete: bool

    @property
    def places(self) -> float:
        return self.agents * self.slots


def read(samples: Sequence[PoolSample], now: datetime, window_s: float) -> Reading | None:
    """The reading of one pool, or None where there is no fresh sample to go by."""
    aged = [(age, one) for one in samples if -AHEAD_S <= (age := (now - one.at).total_seconds()) <= window_s]
    if not aged:
        return None
    aged.sort(key=lambda pair: -pair[0])
    age, last = aged[-1]
    if age > FRESH_S or not _sound(last):
        return None
    sound = [one for _, one in aged if _sound(one)]
    recent = [one for age, one in aged if age <= SMOOTH_S]
    waiting = [one.queued for one in sound[-GROWING:]]
    return Reading(
        agents=last.agents,
        starting=last.starting,
        draining=last.draining,
        slots=last.slots_per_agent,
        need=last.running + last.queued,
        most=max(one.running + one.queued for one in sound),
        queued=last.queued,
        growing=len(waiting) == GROWING and all(a < b for a, b in pairwise(waiting)),
        queue_wait_s=_finite(last.queue_wait_s),
        latency_p99_s=_finite(last.latency_p99_s),
        error_rate=_mean(recent, lambda one: one.error_rate),
        cpu=_mean(recent, lambda one: one.cpu),
        cpu_agents=_mean(recent, lambda one: None if one.cpu is None else one.cpu * one.agents),
        memory=_mean(recent, lambda one: one.memory),
        complete=len(sound) >= COMPLETE * window_s / SAMPLE_S,
    )


def _sound(sample: PoolSample) -> bool:
    return math.isfinite(sample.running) and math.isfinite(sample.slots_per_agent) and sample.slots_per_agent > 0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _mean(samples: Sequence[PoolSample], signal: Callable[[PoolSample], float | None]) -> float | None:
    known = [value for one in samples if (value := _finite(signal(one))) is not None]
    return sum(known) / len(known) if known else None
