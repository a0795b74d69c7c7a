"""Counts what became of one model's tasks so that no tenant alone can set the model aside for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ossa.routing.drift import Bounds, QualityWatch

Stream = Literal["rating", "outcome"]
"""Watched separately: many unrated successes must not hide a few bad ratings."""

MOST_TASKS = 2000
"""Tasks that count; older evidence is dropped."""

WITHOUT_ANY_ONE = 0.5
"""Share of the bound that the evidence must reach without any one tenant."""


@dataclass(frozen=True)
class Count:
    """One task. `expected` and `actual` lie in [0, 1]."""

    tenant: str
    stream: Stream
    expected: float
    actual: float


class Tally:
    """Counts each task once: later evidence replaces earlier evidence of the same task."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts: dict[str, Count] = {}
        self._tenants: set[str] = set()

    def count(self, task_id: str, tenant: str, evidence: Count | None) -> None:
        """Counts a task. Without evidence only its tenant counts, as one that does not complain."""
        self._tenants.add(tenant)
        if evidence is None:
            self._counts.pop(task_id, None)
            return
        self._counts[task_id] = evidence
        if len(self._counts) > MOST_TASKS:
            del self._counts[next(iter(self._counts))]

    def alarm(self) -> float:
        """Returns the alarm of the worst stream; 1 is the bound. Takes milliseconds a tenant: call it in a thread."""
        streams: dict[Stream, list[Count]] = {}
        for count in self._counts.values():
            streams.setdefault(count.stream, []).append(count)
        return max((self._alarm(counts) for counts in streams.values()), default=0.0)

    def _alarm(self, counts: list[Count]) -> float:
        """Believes a tenant alone if it is the only one; else the evidence must stand without any one of them."""
        alarm = self._watched(counts)
        if not alarm or len(self._tenants) < 2:
            return alarm
        for tenant in {count.tenant for count in counts}:
            without = self._watched(count for count in counts if count.tenant != tenant)
            alarm = min(alarm, without / WITHOUT_ANY_ONE)
        return alarm

    def _watched(self, counts: Iterable[Count]) -> float:
        return QualityWatch(self._bounds).see_all((count.expected, count.actual) for count in counts).alarm
