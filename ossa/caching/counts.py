"""What the caches of one room have done, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class BreakerState(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(slots=True)
class CacheCounts:
    """Totals since it was made; they only grow.

    `front_hits` were answered in the process, `shared_hits` by the store. `coalesced` gets waited for the same get of
    somebody else. `failed` were asked for in vain or not answered in time; `rested` were not asked for, as others had
    failed before. `breakers` is by place, and holds those alone that are not closed.
    """

    front_hits: int = 0
    shared_hits: int = 0
    misses: int = 0
    coalesced: int = 0
    failed: int = 0
    rested: int = 0
    breakers: dict[str, BreakerState] = field(default_factory=dict)

    @property
    def breaker(self) -> BreakerState:
        """Of the place that is worst."""
        return max(self.breakers.values(), default=BreakerState.CLOSED)
