"""A forecast replayed over rows that its fit has not seen, and how wrong it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import QUANTILES
from ossa.scaling.forecast.experts import Prepared, say
from ossa.scaling.forecast.model import Fitted
from ossa.scaling.forecast.track import Issued, Outlook, Track

Floats = NDArray[np.float64]

LEVELS = np.asarray(QUANTILES)
MIDDLE = QUANTILES.index(0.5)


@dataclass(frozen=True)
class Replayed:
    """Forecasts for n rows in order, each made a horizon before, and the values that came. Missing ones are NaN.

    Attributes:
        quantiles: (n, Q) at `QUANTILES`.
        low, high: (n,) of the 90% band.
        before: (n,) what there was at the forecast's origin: persistence.
        actual: (n,)
    """

    quantiles: Floats
    low: Floats
    high: Floats
    before: Floats
    actual: Floats

    @property
    def median(self) -> Floats:
        return self.quantiles[:, MIDDLE]

    @property
    def scored(self) -> NDArray[np.bool_]:
        return np.isfinite(self.actual) & np.isfinite(self.median)

    def pinball(self) -> Floats:
        """(n,) twice the pinball loss, mean over `QUANTILES`: in turns, as an absolute error is. NaN: not scored."""
        miss = self.actual[:, None] - self.quantiles
        return np.asarray(2.0 * np.maximum(LEVELS * miss, (LEVELS - 1.0) * miss).mean(axis=1))

    def last(self, rows: int) -> Replayed:
        return Replayed(*(part[-rows:] for part in (self.quantiles, self.low, self.high, self.before, self.actual)))


def replay(given: Prepared, fitted: Fitted | None, values: Floats, start: int, *, learned: int) -> Replayed:
    """Replays from row `start` to the end, learning from each value once it is known. Blends and bands start afresh.

    Args:
        values: (T,) the series that `given` was made of.
        fitted: on rows before `start`; None: the simple experts alone.
        learned: rows that it was fitted on.
    """
    number = len(values) - start
    said = say(given, fitted, slice(start, len(values)))
    track = Track(given.prior(learned), given.horizon)
    issued: list[Issued] = []
    quantiles = np.full((number, len(QUANTILES)), np.nan)
    low, high, before = (np.full(number, np.nan) for _ in range(3))
    for place in range(number):
        due = place - given.horizon
        if due >= 0:
            made = issued[due]
            quantiles[place] = made.prediction.quantiles
            low[place], high[place] = made.prediction.low, made.prediction.high
            before[place] = given.simple[start + due, 0]
            track.learn(made, float(values[start + place]))
        issued.append(track.issue(Outlook(said.centres[place], said.tails[place], float(said.scale[place]))))
    return Replayed(quantiles, low, high, before, values[start:])


def wape(forecast: Floats, actual: Floats) -> float | None:
    """Returns the sum of absolute errors over that of loads, where both are known; None without load."""
    known = np.isfinite(forecast) & np.isfinite(actual)
    load = float(np.abs(actual[known]).sum())
    return float(np.abs(actual[known] - forecast[known]).sum()) / load if load > 0 else None


def coverage(replayed: Replayed) -> float | None:
    """Returns the share of values inside the 90% band; None without values."""
    at = replayed.scored
    if not at.any():
        return None
    actual = replayed.actual[at]
    return float(((replayed.low[at] <= actual) & (actual <= replayed.high[at])).mean())
