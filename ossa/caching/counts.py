"""Counts of what the caches of one room have done."""

from __future__ import annotations

from dataclasses import dataclass

from ossa.resilience.breaker import Breakers, BreakerState


@dataclass(slots=True)
class CacheCounts:
    """Totals since the cache was made; they only grow.

    `front_hits` were answered in the process, `shared_hits` by the store. `coalesced` gets waited for the same get of
    somebody else. `failed` calls raised or were not answered in time; `rested` calls were not made, because others had
    failed before. `breakers` are those of a guarded cache, by place.
    """

    front_hits: int = 0
    shared_hits: int = 0
    misses: int = 0
    coalesced: int = 0
    failed: int = 0
    rested: int = 0
    breakers: Breakers | None = None

    @property
    def breaker(self) -> BreakerState:
        """The state of the place that is worst."""
        return self.breakers.worst() if self.breakers is not None else BreakerState.CLOSED
