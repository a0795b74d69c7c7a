"""What became of the tasks of one model, so counted that no tenant can set it aside for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ossa.routing.drift import Bounds, QualityWatch

Stream = Literal["rating", "outcome"]
"""Watched apart: many unrated successes must not hide a few bad ratings."""

MOST_TASKS = 2000
"""The latest ones; older evidence no longer counts."""

WITHOUT_ANY_ONE = 0.5
"""Without any one tenant the evidence must still reach this share of the bound."""


@dataclass(frozen=True)
class Count:
    """One task's. `expected`, `actual` in [0, 1]."""

    tenant: str
    stream: Stream
    expected: float
    actual: float


class Tally:
    """A task counts once: what is said of it later replaces what was counted."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts: dict[str, Count] = {}
        self._tenants: set[str] = set()

    def count(self, task_id: str, tenant: str, found: Count | None) -> None:
        """None: the model says nothing of the task, but the tenant is one of those that agree or do not."""
        self._tenants.add(tenant)
        if found is None:
            self._counts.pop(task_id, None)
            return
        self._counts[task_id] = found
        if len(self._counts) > MOST_TASKS:
            del self._counts[next(iter(self._counts))]

    def alarm(self) -> float:
        """Of the worst stream; 1 at the bound. Milliseconds for each tenant: call it in a thread."""
        streams: dict[Stream, list[Count]] = {}
        for count in self._counts.values():
            streams.setdefault(count.stream, []).append(count)
        return max((self._of(counts) for counts in streams.values()), default=0.0)

    def _of(self, counts: list[Count]) -> float:
        """A tenant alone is believed where it is the only one; else the evidence must stand without any one of them."""
        alarm = self._watched(counts)
        if not alarm or len(self._tenants) < 2:
            return alarm
        for tenant in {count.tenant for count in counts}:
            without = self._watched(count for count in counts if count.tenant != tenant)
            alarm = min(alarm, without / WITHOUT_ANY_ONE)
        return alarm

    def _watched(self, counts: Iterable[Count]) -> float:
        return QualityWatch(self._bounds).see_all((count.expected, count.actual) for count in counts).alarm
