"""What is counted of turns at one place in one period."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ossa.contracts.scaling import MOST_TIMES, PoolTraffic

MOST_KEPT = 8192
"""Times that one period keeps, the latest ones."""


class TurnCounts:
    """Seconds are those of the caller's clock. `well` and `failed` are ends."""

    __slots__ = ("_running_s", "_since", "arrivals", "failed", "queued", "running", "turns_s", "waits_s", "well")

    def __init__(self) -> None:
        self.running = 0
        self._since = 0.0
        self._clear()

    def _clear(self) -> None:
        self.arrivals = 0
        self.well = 0
        self.failed = 0
        self.queued = 0
        self.waits_s: deque[float] = deque(maxlen=MOST_KEPT)
        self.turns_s: deque[float] = deque(maxlen=MOST_KEPT)
        self._running_s = 0.0

    def run(self, change: int, now: float) -> None:
        """So many turns more (or fewer) at once from now on."""
        self._running_s += self.running * (now - self._since)
        self._since = now
        self.running += change

    def traffic(self, pool: str) -> PoolTraffic:
        return PoolTraffic(
            pool=pool,
            arrivals=self.arrivals,
            ended=self.well + self.failed,
            failed=self.failed,
            running_s=self._running_s,
            queued=self.queued,
            waits_s=thinned(self.waits_s),
            turns_s=thinned(self.turns_s),
        )

    def move_to(self, other: TurnCounts, now: float) -> None:
        """All of the period that ends now. What runs goes on here."""
        self.run(0, now)
        other.arrivals += self.arrivals
        other.well += self.well
        other.failed += self.failed
        other.queued += self.queued
        other.waits_s.extend(self.waits_s)
        other.turns_s.extend(self.turns_s)
        other._running_s += self._running_s
        self._clear()


def thinned(times: Iterable[float]) -> tuple[float, ...]:
    """At most `MOST_TIMES` of them, ascending, evenly taken by rank: their quantiles stay where they are."""
    ranked = sorted(times)
    if len(ranked) <= MOST_TIMES:
        return tuple(ranked)
    last = len(ranked) - 1
    return tuple(ranked[round(rank * last / (MOST_TIMES - 1))] for rank in range(MOST_TIMES))
