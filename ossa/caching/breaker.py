"""When a store that failed is asked again.

closed --`failures` in a row--> open --after `rest_s`--> half open: one try --success--> closed
                                                                            --failure--> open
"""

from __future__ import annotations

from ossa.caching.counts import BreakerState

ABANDONED_S = 30.0


class Breaker:
    """Of one place; one that succeeds is forgotten. No IO, no clock of its own.

    Args:
        failures: in a row, after which nobody asks for a while.
        rest_s: how long.
    """

    def __init__(self, *, failures: int, rest_s: float) -> None:
        self._limit = failures
        self._rest_s = rest_s
        self._failures = 0
        self._open_until: float | None = None
        self._trying = False

    def state(self, now: float) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._trying or now >= self._open_until else BreakerState.OPEN

    @property
    def closed(self) -> bool:
        return self._open_until is None

    def abandoned(self, now: float) -> bool:
        """Nobody asked for long after it might have been: what was there has another place by now."""
        return self._open_until is not None and now >= self._open_until + ABANDONED_S

    def admits(self, now: float) -> bool:
        """Whether to ask. Of those that come when it is half open the first alone is let through."""
        if self._open_until is None:
            return True
        if self._trying or now < self._open_until:
            return False
        self._trying = True
        return True

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = now + self._rest_s
        self._trying = False

    def gave_up(self) -> None:
        """It was cancelled, and told nothing: somebody else may try."""
        self._trying = False
