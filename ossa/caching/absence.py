"""What is not there need not be asked for again at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic

ABSENT_S = 1.0
ABSENT_MAX = 16_384


class Absences:
    """Keys that a store did not have a moment ago. No IO.

    Only where being late is right: what another process writes is not seen for `for_s`. What this one writes is told
    by `came`.

    Args:
        most: keys.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, for_s: float = ABSENT_S, most: int = ABSENT_MAX, clock: Callable[[], float] = monotonic
    ) -> None:
        self._for_s = for_s
        self._most = most
        self._clock = clock
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if self._clock() >= until:
            del self._until[key]
            return False
        return True

    def missed(self, key: Hashable) -> None:
        self._until[key] = self._clock() + self._for_s
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def came(self, key: Hashable) -> None:
        self._until.pop(key, None)
