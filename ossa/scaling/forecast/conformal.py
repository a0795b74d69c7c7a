"""Quantiles that are kept: residuals of late, and levels that move until the share of misses is the promised one."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW = 400
STEP, FIRST_STEP = 0.015, 0.3
"""gamma of adaptive conformal inference after n values: FIRST_STEP / sqrt(n), at least STEP."""
LOWEST, HIGHEST = 0.002, 0.998
PULL, FARTHEST = 0.8, 2.0
"""Each half of the band is exp(PULL * misses too many / sqrt(n)) times as wide, exp(FARTHEST) times at most."""
UNSEEN = 10
"""Values that n begins with, so that the first misses do not throw the band."""


class Residuals:
    """The last `WINDOW` scores, kept in order."""

    def __init__(self) -> None:
        self._ordered: list[float] = []
        self._late: deque[float] = deque()

    def add(self, score: float) -> None:
        insort(self._ordered, score)
        self._late.append(score)
        if len(self._late) > WINDOW:
            del self._ordered[bisect_left(self._ordered, self._late.popleft())]

    def quantile(self, level: float) -> float:
        """The split-conformal one: rank level * (n + 1), between neighbours linear. 0 while there is no score."""
        number = len(self._ordered)
        if not number:
            return 0.0
        rank = min(max(level * (number + 1) - 1, 0.0), number - 1.0)
        below = int(rank)
        first = self._ordered[below]
        return first + (rank - below) * (self._ordered[min(below + 1, number - 1)] - first)


class AdaptiveLevels:
    """Adaptive conformal inference (Gibbs and Candès 2021): ask for the level that has the wanted share below it.

    For each quantile and for the 90% band. Where the band's lower end is the floor that nothing can lie below, all
    misses are left to the upper end, so that the band is no wider than 90% asks for. News of a miss is `horizon` steps
    old: the further ahead, the smaller the steps, or levels swing. What steps leave over, the band's width takes: it
    grows with the misses that were too many so far, and shrinks with those that were too few (the integrator of
    conformal PID control, Angelopoulos, Candès and Tibshirani 2023). That moves the band alone, and no quantile.
    """

    def __init__(self, levels: Floats, band: tuple[float, float], horizon: int) -> None:
        self._wanted = levels
        self._levels = levels.copy()
        self._middle = int(np.argmin(np.abs(levels - 0.5)))
        self._band = band
        self._low, self._high = band
        self._seen = 25
        self._told, self._surplus = UNSEEN, 0.0
        self._caution = horizon ** (1 / 3)

    def apply(self, quantiles: Floats) -> tuple[Floats, float, float]:
        """Raw quantiles (Q,), rising, to published ones (Q,), and the band's ends."""
        asked = np.concatenate([self._levels, [self._low, self._high]])
        found = np.interp(asked, self._wanted, quantiles)
        beyond = asked > self._wanted[-1]
        slope = (quantiles[-1] - quantiles[-2]) / (self._wanted[-1] - self._wanted[-2])
        found[beyond] += slope * (asked[beyond] - self._wanted[-1])
        under = asked < self._wanted[0]
        slope = (quantiles[1] - quantiles[0]) / (self._wanted[1] - self._wanted[0])
        found[under] -= slope * (self._wanted[0] - asked[under])
        found = np.maximum(found, 0.0)
        low, high = sorted((float(found[-2]), float(found[-1])))
        return np.maximum.accumulate(found[:-2]), *self._widened(low, float(quantiles[self._middle]), high)

    def _widened(self, low: float, middle: float, high: float) -> tuple[float, float]:
        if not low <= middle <= high:
            return low, high
        folds = PULL * self._surplus / self._told**0.5
        factor = math.exp(min(max(folds, -FARTHEST), FARTHEST))
        return max(0.0, middle - (middle - low) * factor), middle + (high - middle) * factor

    def learn(self, published: Floats, low: float, high: float, actual: float) -> None:
        self._seen += 1
        step = max(STEP, FIRST_STEP / self._seen**0.5) / self._caution
        middle = self._wanted == 0.5
        under = np.where(self._wanted < 0.5, actual < published, actual <= published)
        moved = self._levels + step * (self._wanted - under)
        self._levels = np.where(middle, self._wanted, np.clip(moved, LOWEST, HIGHEST))
        wanted_low, wanted_high = self._band
        self._low = min(max(self._low + step * (wanted_low - (actual < low)), LOWEST), 2 * wanted_low)
        missed = actual < low or actual > high
        self._told += 1
        self._surplus += float(missed) - (1.0 - wanted_high + wanted_low)
        self._high += step * (float(missed) - (1.0 - wanted_high + wanted_low))
        self._high = min(max(self._high, 0.5), HIGHEST)
