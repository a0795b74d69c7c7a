"""Decides which forecasts are believed, and reads their expectation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ossa.contracts.scaling import Forecast, ScaleRules
from ossa.scaling.decision.reading import AHEAD_S, Reading

FRESH_S = 150.0
MINUTE_S = 60.0
"""A forecast is about this much time before its horizon's end."""

MOVED = 0.99
"""Quantile whose distance from the median moves along with the need."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected turns at the same time. `points` are (seconds from now, forecast), soonest first."""

    need: float
    points: tuple[tuple[float, Forecast], ...]

    def at(self, seconds: float, quantile: float) -> float:
        """Returns the quantile so many seconds from now: linear between now and the horizons, level after the last."""
        before, value = 0.0, self.need
        for when, forecast in self.points:
            there = _quantile(forecast, quantile)
            if when >= seconds:
                return value + (there - value) * (seconds - before) / (when - before) if when > before else there
            before, value = when, there
        return value

    def most(self, until_s: float, quantile: float) -> float:
        """Returns the largest quantile from the first horizon until then."""
        passed = [_quantile(forecast, quantile) for when, forecast in self.points if when <= until_s]
        return max([*passed, self.at(until_s, quantile)])

    def soon(self, lead_s: float, quantile: float) -> float:
        """Returns the quantile at the first horizon, or after the lead time if that is later."""
        return self.at(max(lead_s, self.points[0][0]), quantile) if self.points else self.need

    def minutes(self, quantile: float) -> list[tuple[float, float]]:
        """Returns (seconds until it begins, quantile) of each forecast minute, soonest first."""
        return [(max(0.0, when - MINUTE_S), _quantile(forecast, quantile)) for when, forecast in self.points]

    def held(self, lead_s: float, quantile: float) -> float:
        """Returns the quantile soon, or more if the need has outgrown the forecast since it was made.

        Then the band starts from the present need, as far above it as the `MOVED` quantile is above the median.
        """
        if not self.points:
            return self.need
        moved = self.need + self.soon(lead_s, MOVED) - self.soon(lead_s, 0.5)
        return max(self.soon(lead_s, quantile), moved)


def expect(
    forecasts: Sequence[Forecast],
    earlier: Sequence[Forecast],
    reading: Reading | None,
    rules: ScaleRules,
    now: datetime,
    peak: float,
) -> tuple[Expectation | None, str]:
    """Returns one pool's believed forecasts, or None and the reason for doubt. `earlier` ones count beside newer ones.

    `peak` is the most turns at the same time that the pool had in days; a forecast far above it is not believed.
    """
    if not forecasts:
        return None, ""
    if reading is None:
        return None, "forecast left aside: samples are missing"
    points: list[tuple[float, Forecast]] = []
    doubt = ""
    seen = max(reading.most, peak if math.isfinite(peak) else 0.0)
    most = rules.plausible * (max(seen, 1.0) + rules.block_agents * reading.slots)
    for forecast in forecasts:
        age = (now - forecast.at).total_seconds()
        if not forecast.trusted:
            doubt = f"forecast {forecast.model} is switched off"
            continue
        if not -AHEAD_S <= age <= FRESH_S:
            return None, f"forecast is {age:.0f} s old"
        if not _sound(forecast):
            return None, "forecast is not a number"
        median = _quantile(forecast, 0.5)
        if median > most:
            return None, f"forecast of {median:.0f} turns not believed: at most {seen:.0f} of late"
        points.append((max(0.0, forecast.horizon_s - age), forecast))
    if not points:
        return None, doubt
    for forecast in earlier:
        when = forecast.horizon_s - (now - forecast.at).total_seconds()
        if when > 0 and forecast.trusted and _sound(forecast) and _quantile(forecast, 0.5) <= most:
            points.append((when, forecast))
    return Expectation(reading.need, tuple(sorted(points, key=lambda point: point[0]))), doubt


def _sound(forecast: Forecast) -> bool:
    values = forecast.quantiles.values()
    return bool(values) and all(math.isfinite(value) and value >= 0 for value in values)


def _quantile(forecast: Forecast, quantile: float) -> float:
    """Interpolates between levels, never below the value of a lower level; constant beyond the ends."""
    levels = sorted(forecast.quantiles)
    before, value = levels[0], forecast.quantiles[levels[0]]
    for level in levels:
        there = max(value, forecast.quantiles[level])
        if level >= quantile:
            return value + (there - value) * (quantile - before) / (level - before) if level > before else there
        before, value = level, there
    return value
