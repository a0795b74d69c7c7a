"""Where forecasts come from in a run, and a simple source that is always there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import numpy as np

from lab.simulator.trace import MINUTE_S, Floats
from ossa.contracts.scaling import HORIZONS_S, QUANTILES, Forecast

AHEAD_S = (60, 120, 180, 240, *HORIZONS_S[1:])
"""Each minute until the cool-down's end, so that a short peak is not stepped over."""

HOUR, DAY = 60, 1440
HOURS = 4
SMOOTHINGS = (0.2, 0.4, 0.7, 1.0)
TREND = 0.2
DAMPING = 0.9
KEPT = 240
"""Errors a horizon, of which quantiles are taken: four hours."""

FORGET = 0.98
"""A minute, of the error by which a candidate is chosen."""

SMALLEST = 1.0
"""Turns at once below which errors are not taken as a part of the level."""


class Forecaster(Protocol):
    """Told the most turns at once of each minute, in order; asked for what follows the last one.

    `warm_up`: minutes of what lies before a trace that it is told first.
    """

    @property
    def warm_up(self) -> int: ...

    def observe(self, need: float) -> None: ...

    def forecast(self, pool: str, at: datetime) -> Sequence[Forecast]: ...


class SmoothingForecaster:
    """The best of late of a few exponential smoothings, with quantiles of its recent errors.

    Candidates, a horizon: simple smoothing at four rates, alone, plus the change that the day before saw over the same
    minutes, and plus that of the hours before; a damped trend; and what the hours before had at that minute. The one
    with the least discounted absolute error is used, and its errors of the last four hours, over the root of forecast
    and usual level, make the band.
    """

    warm_up = 8 * DAY

    def __init__(self, name: str = "smoothing") -> None:
        self._name = name
        self._steps = [int(horizon // MINUTE_S) for horizon in AHEAD_S]
        self._needs: list[float] = []
        self._levels = np.zeros(len(SMOOTHINGS))
        self._rates = np.asarray(SMOOTHINGS)
        self._trend_level, self._trend = 0.0, 0.0
        self._usual = 0.0
        candidates = 3 * len(SMOOTHINGS) + 3
        self._made: list[list[Floats]] = [[] for _ in AHEAD_S]
        self._errors = np.zeros((len(AHEAD_S), candidates))
        self._relative = np.zeros((len(AHEAD_S), candidates, KEPT))
        self._seen = [0] * len(AHEAD_S)

    def observe(self, need: float) -> None:
        if not self._needs:
            self._levels[:] = need
            self._trend_level = need
        self._needs.append(need)
        self._usual += (need - self._usual) / min(KEPT, len(self._needs))
        before = self._trend_level + DAMPING * self._trend
        self._trend_level = 0.5 * need + 0.5 * before
        self._trend += TREND * (self._trend_level - before + DAMPING * self._trend - self._trend)
        self._levels += self._rates * (need - self._levels)
        for horizon, steps in enumerate(self._steps):
            made = self._made[horizon]
            made.append(self._candidates(steps))
            if len(made) > steps:
                self._score(horizon, made.pop(0), need)

    def forecast(self, pool: str, at: datetime) -> tuple[Forecast, ...]:
        return tuple(self._forecast(pool, at, horizon) for horizon in range(len(AHEAD_S)) if self._seen[horizon] > 2)

    def _candidates(self, steps: int) -> Floats:
        now = len(self._needs) - 1
        trend = self._trend * DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)
        hours = self._hours(now + steps)
        daily = self._mean(now + steps - DAY) - self._mean(now - DAY) if now >= DAY else 0.0
        hourly = hours - self._hours(now)
        last_hour = self._needs[max(0, now + steps - HOUR)]
        single = [self._trend_level + trend, hours, last_hour]
        found = np.concatenate((self._levels, self._levels + daily, self._levels + hourly, single))
        return np.asarray(np.maximum(0.0, found))

    def _hours(self, minute: int) -> float:
        """The mean of that minute in the hours before it."""
        there = [self._needs[at] for at in range(minute - HOUR, minute - HOURS * HOUR - 1, -HOUR) if at >= 0]
        return sum(there) / len(there) if there else self._needs[-1]

    def _mean(self, minute: int) -> float:
        """Averages five minutes around: a single minute of yesterday is mostly noise."""
        near = self._needs[max(0, minute - 2) : minute + 3]
        return sum(near) / len(near)

    def _score(self, horizon: int, made: Floats, need: float) -> None:
        error = need - made
        self._errors[horizon] = FORGET * self._errors[horizon] + np.abs(error)
        self._relative[horizon, :, self._seen[horizon] % KEPT] = error / self._scale(made)
        self._seen[horizon] += 1

    def _scale(self, made: Floats) -> Floats:
        """Errors grow with the level, but less than it: between relative and absolute."""
        return np.asarray(np.sqrt(np.maximum(SMALLEST, made) * max(SMALLEST, self._usual)))

    def _forecast(self, pool: str, at: datetime, horizon: int) -> Forecast:
        best = int(self._errors[horizon].argmin())
        value = float(self._made[horizon][-1][best])
        errors = self._relative[horizon, best, : min(KEPT, self._seen[horizon])]
        bands = np.maximum(0.0, value + np.quantile(errors, QUANTILES) * float(self._scale(np.asarray(value))))
        return Forecast(
            pool=pool,
            at=at,
            horizon_s=AHEAD_S[horizon],
            quantiles=dict(zip(QUANTILES, bands.tolist(), strict=True)),
            model=self._name,
        )
