"""Circuit breakers: what fails again and again is not asked for a while, and then once to see.

closed --`failures` in a row--> open --after `rest_s`--> half open: one try --success--> closed
                                                                            --failure--> open again
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class BreakerState(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(slots=True)
class _Breaker:
    rest_s: float
    failures: int = 0
    open_until: float | None = None
    trying: bool = False


class Breakers:
    """One breaker for each subject, such as a server or a model's tier. A subject that succeeds is forgotten.

    Args:
        clock: monotonic seconds.
        failures: in a row, after which a subject is left alone.
        rest_s: for how long.
        longest_s: each try that fails doubles the rest, up to this; None: it stays `rest_s`.
        abandoned_s: a subject that nobody asked for so long after it might have been is forgotten; None: never.
        most: subjects; beyond them the one that failed longest ago is forgotten.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures: int,
        rest_s: float,
        longest_s: float | None = None,
        abandoned_s: float | None = None,
        most: int = 10_000,
    ) -> None:
        self._clock = clock
        self._failures = failures
        self._rest_s = rest_s
        self._longest_s = rest_s if longest_s is None else longest_s
        self._abandoned_s = float("inf") if abandoned_s is None else abandoned_s
        self._most = most
        self._breakers: OrderedDict[str, _Breaker] = OrderedDict()

    def __len__(self) -> int:
        """Subjects whose last call failed."""
        return len(self._breakers)

    def open(self) -> frozenset[str]:
        """Subjects that `admit` would refuse now."""
        if not self._breakers:
            return frozenset()
        now = self._clock()
        return frozenset(
            subject
            for subject, breaker in self._breakers.items()
            if breaker.trying or _state(breaker, now) is BreakerState.OPEN
        )

    def worst(self) -> BreakerState:
        """The state of the subject that is worst."""
        now = self._clock()
        for subject in [name for name, breaker in self._breakers.items() if self._abandoned(breaker, now)]:
            del self._breakers[subject]
        return max((_state(breaker, now) for breaker in self._breakers.values()), default=BreakerState.CLOSED)

    def admit(self, subject: str) -> bool:
        """Whether to ask it. While it is half open only the first is let through, until that one's end is told."""
        breaker = self._breakers.get(subject)
        if breaker is None or breaker.open_until is None:
            return True
        if breaker.trying or self._clock() < breaker.open_until:
            return False
        breaker.trying = True
        return True

    def succeeded(self, subject: str) -> bool:
        """Returns whether this closed its breaker."""
        breaker = self._breakers.pop(subject, None)
        return breaker is not None and breaker.open_until is not None

    def failed(self, subject: str) -> bool:
        """Returns whether this opened its breaker. Calls that began before it opened change nothing."""
        now = self._clock()
        breaker = self._breakers.get(subject)
        if breaker is None or self._abandoned(breaker, now):
            breaker = self._breakers[subject] = _Breaker(self._rest_s)
        self._breakers.move_to_end(subject)
        if len(self._breakers) > self._most:
            self._breakers.popitem(last=False)
        breaker.failures += 1
        was_closed = breaker.open_until is None
        if breaker.trying:
            breaker.rest_s = min(self._longest_s, breaker.rest_s * 2)
        if breaker.trying or (was_closed and breaker.failures >= self._failures):
            breaker.open_until = now + breaker.rest_s
        breaker.trying = False
        return was_closed and breaker.open_until is not None

    def gave_up(self, subject: str) -> None:
        """A call ended without telling anything of the subject, as it was cancelled: somebody else may try."""
        breaker = self._breakers.get(subject)
        if breaker is not None:
            breaker.trying = False

    def _abandoned(self, breaker: _Breaker, now: float) -> bool:
        return breaker.open_until is not None and now >= breaker.open_until + self._abandoned_s


def _state(breaker: _Breaker, now: float) -> BreakerState:
    if breaker.open_until is None:
        return BreakerState.CLOSED
    return BreakerState.HALF_OPEN if breaker.trying or now >= breaker.open_until else BreakerState.OPEN
