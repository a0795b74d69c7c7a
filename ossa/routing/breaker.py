"""Circuit breakers: what fails again and again is not asked for a while, and then once to see.

closed --FAILURES in a row--> open --after OPEN_S--> half open: one try --success--> closed
                                                                        --failure--> open, twice as long
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 5
OPEN_S = 5.0
LONGEST_S = 300.0
SUBJECTS_MAX = 10_000


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float | None = None
    open_s: float = OPEN_S
    trying: bool = False


class Breakers:
    """By subject: a manifest's name, a tier.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: OrderedDict[str, _State] = OrderedDict()

    def open(self) -> frozenset[str]:
        """Subjects that are not to be asked now."""
        if not self._states:
            return frozenset()
        now = self._clock()
        return frozenset(subject for subject, state in self._states.items() if _is_open(state, now))

    def began(self, subject: str) -> None:
        """A turn goes there; of a half-open one no other does until it ended."""
        state = self._states.get(subject)
        if state is not None and state.open_until is not None and self._clock() >= state.open_until:
            state.trying = True

    def ended(self, subject: str, *, failed: bool) -> None:
        if not failed:
            self._states.pop(subject, None)
            return
        state = self._states.setdefault(subject, _State())
        self._states.move_to_end(subject)
        state.failures += 1
        if state.trying:
            state.open_s = min(LONGEST_S, state.open_s * 2)
        if state.trying or (state.failures >= FAILURES and state.open_until is None):
            state.open_until = self._clock() + state.open_s
        state.trying = False
        if len(self._states) > SUBJECTS_MAX:
            self._states.popitem(last=False)

    def gave_up(self, subject: str) -> None:
        """The turn ended without telling anything of it: it was cancelled."""
        state = self._states.get(subject)
        if state is not None:
            state.trying = False


def _is_open(state: _State, now: float) -> bool:
    return state.open_until is not None and (now < state.open_until or state.trying)
