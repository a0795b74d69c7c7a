"""How wrong a horizon's forecasts are of late, and whether they are to be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorBounds:
    """`off_above` and `on_below` are of `RollingError.against_persistence`.

    Attributes:
        fade: what is left of an error after one more observation.
        slack: share of the load that an error may have without counting against the forecast.
        fewest: observations before a forecast is trusted, and good ones in a row before it is trusted again.
    """

    off_above: float = 1.5
    on_below: float = 1.1
    fade: float = 0.95
    slack: float = 0.05
    fewest: int = 10


class RollingError:
    """Faded sums of absolute errors: the forecast's, and those of "as much as now", which costs nothing.

    Off as soon as the forecast is not a number, or is worse than persistence by the bound; on again when it has been
    better than the lower bound for `fewest` observations in a row, which keeps it from flapping. While off it is
    measured on.
    """

    def __init__(self, bounds: ErrorBounds | None = None) -> None:
        self._bounds = bounds or ErrorBounds()
        self._wrong = self._persistence = self._load = 0.0
        self._seen = 0
        self._good = 0
        self._off = False
        self.switched_off = 0
        """How often."""

    @property
    def trusted(self) -> bool:
        return not self._off and self._seen >= self._bounds.fewest

    @property
    def wape(self) -> float | None:
        """Faded sum of absolute errors over that of loads; None while there was no load."""
        return self._wrong / self._load if self._load > 0 else None

    @property
    def against_persistence(self) -> float:
        """1 is as wrong as persistence, infinite where persistence was never wrong, there was no load and we were."""
        spare = self._bounds.slack * self._load
        floor = self._persistence + spare
        if floor > 0:
            return (self._wrong + spare) / floor
        return 1.0 if self._wrong == 0 else math.inf

    def observe(self, forecast: float, persistence: float, actual: float) -> None:
        """What was forecast, what there was at its origin, what came. An actual that is not known teaches nothing."""
        if not math.isfinite(actual):
            return
        if not math.isfinite(forecast) or forecast < 0:
            self._switch_off()
            return
        fade = self._bounds.fade
        before = persistence if math.isfinite(persistence) else actual
        self._wrong = fade * self._wrong + abs(actual - forecast)
        self._persistence = fade * self._persistence + abs(actual - before)
        self._load = fade * self._load + abs(actual)
        self._seen += 1
        ratio = self.against_persistence
        self._good = self._good + 1 if ratio < self._bounds.on_below else 0
        if ratio > self._bounds.off_above:
            self._switch_off()
        elif self._off and self._good >= self._bounds.fewest:
            self._off = False

    def _switch_off(self) -> None:
        self.switched_off += not self._off
        self._off = True
        self._good = 0
