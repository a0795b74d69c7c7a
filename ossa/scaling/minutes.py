"""Samples of ten seconds to the minutes that forecasts are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ossa.contracts.scaling import PoolSample

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Minute:
    """`needs`: mean turns at once, waiting ones too, by pool, over the minute that ended `at`."""

    at: datetime
    needs: dict[str, float]


@dataclass
class Minutes:
    """Takes samples in order of time and gives each minute back once a sample of a later one has come."""

    _minute: int | None = None
    _sums: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, samples: Iterable[PoolSample]) -> list[Minute]:
        """The minutes that these samples complete. One that is older than the minute under way is left out."""
        done: list[Minute] = []
        for sample in samples:
            # A sample sums up what came before it: at 12:00:00 it is of the minute before.
            minute = int((sample.at.timestamp() - 1e-6) // MINUTE_S)
            if self._minute is not None and minute < self._minute:
                continue
            if self._minute is not None and minute > self._minute:
                done.append(self._close(self._minute))
            self._minute = minute
            self._sums[sample.pool].append(sample.running + sample.queued)
        return done

    def _close(self, minute: int) -> Minute:
        needs = {pool: sum(values) / len(values) for pool, values in self._sums.items()}
        self._sums.clear()
        return Minute(datetime.fromtimestamp((minute + 1) * MINUTE_S, UTC), needs)
