"""Sums up one pool's samples. Old, future and non-finite ones do not count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ossa.contracts.scaling import SAMPLE_S, PoolSample

FRESH_S = 4.5 * SAMPLE_S
AHEAD_S = 1.5 * SAMPLE_S
"""Another machine's clock may be ahead by this much."""

SMOOTH_S = 60.0
GROWING = 3
"""Samples in a row with more waiting each time."""

COMPLETE = 0.8
"""With a smaller share of the window's samples nothing is taken away."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`cpu`, `memory`, `error_rate`: means over a minute; None if unknown. Needs count running and waiting turns."""

    agents: int
    """Agents of the pool, without borrowed standbys."""
    borrowed: int
    starting: int
    draining: int
    slots: float
    need: float
    """Running and waiting at the end of the last sample."""
    most: float
    """The largest need in the window."""
    recent: float
    """The largest need in the last minute."""
    calm: float
    """The largest need within `calm_s`."""
    queued: int
    growing: bool
    queue_wait_s: float | None
    latency_p99_s: float | None
    error_rate: float | None
    cpu: float | None
    cpu_agents: float | None
    """Agents that this CPU would fill. It stays the same while agents come and go."""
    memory: float | None
    complete: bool

    @property
    def places(self) -> float:
        return (self.agents + self.borrowed) * self.slots


def read(
    samples: Sequence[PoolSample], now: datetime, window_s: float, calm_s: float, size: int, borrowed: int
) -> Reading | None:
    """Reads one pool of `size` agents and `borrowed` standbys; None without a fresh sample.

    CPU is told as if its own agents bore it all: borrowing hides no need.
    """
    aged = [(age, sample) for sample in samples if -AHEAD_S <= (age := (now - sample.at).total_seconds()) <= window_s]
    if not aged:
        return None
    aged.sort(key=lambda pair: -pair[0])
    age_last, last = aged[-1]
    if age_last > FRESH_S or not _sound(last):
        return None
    sound = [sample for _, sample in aged if _sound(sample)]
    recent = [sample for age, sample in aged if age <= SMOOTH_S]
    waiting = [sample.queued for sample in sound[-GROWING:]]
    agents = min(last.agents, max(size, last.agents - borrowed))
    cpu = _mean(recent, lambda sample: sample.cpu)
    cpu_agents = _mean(recent, lambda sample: None if sample.cpu is None else sample.cpu * sample.agents)
    if cpu is not None and cpu_agents is not None and agents and borrowed:
        cpu = max(cpu, cpu_agents / agents)
    return Reading(
        agents=agents,
        borrowed=last.agents - agents,
        starting=last.starting,
        draining=last.draining,
        slots=last.slots_per_agent,
        need=last.running + last.queued,
        most=max(sample.running + sample.queued for sample in sound),
        recent=max(sample.running + sample.queued for sample in recent if _sound(sample)),
        calm=max(
            sample.running + sample.queued for age, sample in aged if age <= max(calm_s, age_last) and _sound(sample)
        ),
        queued=last.queued,
        growing=len(waiting) == GROWING and all(a < b for a, b in pairwise(waiting)),
        queue_wait_s=_finite(last.queue_wait_s),
        latency_p99_s=_finite(last.latency_p99_s),
        error_rate=_mean(recent, lambda sample: sample.error_rate),
        cpu=cpu,
        cpu_agents=cpu_agents,
        memory=_mean(recent, lambda sample: sample.memory),
        complete=len(sound) >= COMPLETE * window_s / SAMPLE_S,
    )


def _sound(sample: PoolSample) -> bool:
    return math.isfinite(sample.running) and math.isfinite(sample.slots_per_agent) and sample.slots_per_agent > 0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _mean(samples: Sequence[PoolSample], signal: Callable[[PoolSample], float | None]) -> float | None:
    known = [value for sample in samples if (value := _finite(signal(sample))) is not None]
    return sum(known) / len(known) if known else None
