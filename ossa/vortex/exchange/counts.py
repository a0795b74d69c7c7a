"""What an exchange has done, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ossa.vortex.exchange.failure import Remedy


@dataclass(slots=True)
class Counts:
    """Totals since the exchange was made; they only grow.

    `shared_flights` counts waiters that joined the work of another; `cache_degraded` the times
    the shared cache failed, or was left alone because it had just failed.
    """

    front_hits: int = 0
    back_hits: int = 0
    shared_flights: int = 0
    resolver_calls: int = 0
    resolver_failures: int = 0
    degraded: int = 0
    fallback: int = 0
    stale: int = 0
    skipped: int = 0
    propagated: int = 0
    cache_degraded: int = 0
    cache_unreadable: int = 0

    def count(self, remedy: Remedy) -> None:
        match remedy:
            case Remedy.DEGRADED:
                self.degraded += 1
            case Remedy.FALLBACK:
                self.fallback += 1
            case Remedy.STALE:
                self.stale += 1
            case Remedy.SKIPPED:
                self.skipped += 1

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
