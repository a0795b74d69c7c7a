"""One series at one horizon: experts in, calibrated quantiles out, learning from each value that comes."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import QUANTILES

Floats = NDArray[np.float64]

LEVELS = np.asarray(QUANTILES)
TAILS = tuple(level for level in QUANTILES if level != 0.5)
BAND = (0.05, 0.95)
ERROR_ALPHA = 0.05
"""Smoothing of the errors' size."""

FADE = 0.998
"""Share of a regret that remains after one observation; half of it remains after 350."""

WINDOW = 400
STEP, FIRST_STEP = 0.015, 0.3
"""gamma of adaptive conformal inference after n values: FIRST_STEP / sqrt(n), at least STEP."""
LOWEST, HIGHEST = 0.002, 0.998
PULL, FARTHEST = 0.8, 2.0
"""Each half of the band is exp(PULL * misses too many / sqrt(n)) times as wide, exp(FARTHEST) times at most."""
UNSEEN = 10
"""Values that n begins with, so that the first misses do not throw the band."""


@dataclass(frozen=True)
class Outlook:
    """The experts' forecasts at one origin: `centres` (K,), the trees' `tails` (Q - 1,), the local `scale`."""

    centres: Floats
    tails: Floats
    scale: float


@dataclass(frozen=True)
class Prediction:
    """`quantiles` (Q,) at `QUANTILES`, rising, at least 0; `low`, `high`: the band that 90% lie in."""

    quantiles: Floats
    low: float
    high: float

    @property
    def median(self) -> float:
        return float(self.quantiles[QUANTILES.index(0.5)])


@dataclass(frozen=True)
class Issued:
    """A prediction with what it was made from, to learn by when its value comes."""

    outlook: Outlook
    prediction: Prediction
    centre: float
    centre_weights: Floats
    tail_proposals: Floats
    tail_weights: Floats
    mixed_tails: Floats
    error_size: float


class Track:
    """Forecasts one horizon of one series. Call `issue` at each origin, and `learn` once its value is known, in order.

    Three proposals are blended for each tail quantile: the centre with recent errors, the centre with errors relative
    to their recent size, and the trees' quantile with its own errors, relative to the local scale.
    """

    def __init__(self, prior: Floats, horizon: int) -> None:
        self._centre = Blend(np.asarray([0.5]), prior)
        self._tails = Blend(np.asarray(TAILS), np.ones(3))
        self._errors, self._sized_errors = Residuals(), Residuals()
        self._error_size: float | None = None
        self._tree_errors = [Residuals() for _ in TAILS]
        self._levels = AdaptiveLevels(LEVELS, BAND, horizon)

    @property
    def weights(self) -> Floats:
        """(K,) weights of the experts' centres."""
        return np.asarray(self._centre.weights[0])

    def issue(self, outlook: Outlook) -> Issued:
        centre = float(self._centre.mix(outlook.centres[None, :])[0])
        size = self._error_size or 0.1 * outlook.scale
        proposals = self._proposals(centre, size, outlook)
        mixed = self._tails.mix(proposals)
        middle = QUANTILES.index(0.5)
        raw = np.maximum(np.insert(mixed, middle, centre), 0.0)
        raw[:middle] = np.minimum(raw[:middle], raw[middle])
        raw[middle:] = np.maximum.accumulate(raw[middle:])
        prediction = Prediction(*self._levels.apply(raw))
        return Issued(outlook, prediction, centre, self._centre.weights, proposals, self._tails.weights, mixed, size)

    def learn(self, issued: Issued, actual: float) -> None:
        """Takes in the value that came. An unknown one (NaN) is skipped."""
        if not np.isfinite(actual):
            return
        outlook = issued.outlook
        self._centre.learn(outlook.centres[None, :], issued.centre_weights, np.asarray([issued.centre]), actual)
        self._tails.learn(issued.tail_proposals, issued.tail_weights, issued.mixed_tails, actual)
        error = actual - issued.centre
        self._errors.add(error)
        self._sized_errors.add(error / max(issued.error_size, 1e-9))
        before = abs(error) if self._error_size is None else self._error_size
        self._error_size = max(before + ERROR_ALPHA * (abs(error) - before), 1e-3 * outlook.scale)
        for errors, tail in zip(self._tree_errors, outlook.tails.tolist(), strict=True):
            errors.add((actual - tail) / outlook.scale)
        self._levels.learn(issued.prediction.quantiles, issued.prediction.low, issued.prediction.high, actual)

    def _proposals(self, centre: float, size: float, outlook: Outlook) -> Floats:
        """(Q - 1, 3)"""
        tails = zip(TAILS, outlook.tails.tolist(), self._tree_errors, strict=True)
        return np.asarray(
            [
                (
                    centre + self._errors.quantile(level),
                    centre + self._sized_errors.quantile(level) * size,
                    tail + errors.quantile(level) * outlook.scale,
                )
                for level, tail, errors in tails
            ]
        )


class Blend:
    """Weights (Q, K) of K experts for each of Q quantiles. Those that were right lately weigh most.

    Exponential weights on the linearised pinball loss, with a learning rate of each expert's own, after Bernstein
    online aggregation (Wintenberger 2017, "Optimal learning with Bernstein online aggregation"). Old regret fades, so
    that a changed series changes the weights.

    Args:
        quantiles: (Q,) the levels whose pinball loss counts.
        prior: (K,) how much is expected of each expert before anything was seen; above 0.
    """

    def __init__(self, quantiles: Floats, prior: Floats) -> None:
        self._levels = quantiles
        shape = (len(quantiles), len(prior))
        self._prior = np.log(prior / prior.sum())
        self._regret = np.zeros(shape)
        self._squares = np.full(shape, 1e-12)
        self._widest = np.full(shape, 1e-9)
        self._push = max(1.0, float(np.log(len(prior))))
        self.weights = np.broadcast_to(prior / prior.sum(), shape).copy()

    def mix(self, forecasts: Floats) -> Floats:
        """(Q, K) -> (Q,)."""
        return np.asarray((self.weights * forecasts).sum(axis=1))

    def learn(self, forecasts: Floats, weights: Floats, mixed: Floats, actual: float) -> None:
        """Takes in the value that came after `forecasts` (Q, K) were mixed with `weights` to `mixed` (Q,)."""
        slope = np.where(mixed > actual, 1.0 - self._levels, np.where(mixed < actual, -self._levels, 0.0))
        losses = slope[:, None] * forecasts
        regret = (weights * losses).sum(axis=1)[:, None] - losses
        self._widest = np.maximum(self._widest * FADE, np.abs(regret))
        self._squares = self._squares * FADE + regret * regret
        self._regret = self._regret * FADE + regret
        rate = np.minimum(0.5 / self._widest, np.sqrt(self._push / self._squares))
        tilt = self._prior + rate * self._regret
        weights = rate * np.exp(tilt - tilt.max(axis=1, keepdims=True))
        self.weights = weights / weights.sum(axis=1, keepdims=True)


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
        """Returns the split-conformal quantile: rank level * (n + 1), linear between neighbours; 0 without scores."""
        number = len(self._ordered)
        if not number:
            return 0.0
        rank = min(max(level * (number + 1) - 1, 0.0), number - 1.0)
        below = int(rank)
        first = self._ordered[below]
        return first + (rank - below) * (self._ordered[min(below + 1, number - 1)] - first)


class AdaptiveLevels:
    """Adaptive conformal inference (Gibbs and Candès 2021): asks for the level that has the wanted share below it.

    It runs for each quantile and for the 90% band. Where nothing can lie below the band's lower end, the upper end
    takes all misses, so that the band is no wider than 90% asks for. A miss is known `horizon` steps late: the longer
    that is, the smaller the steps, or levels swing. The band's width corrects the rest: it grows with the surplus of
    misses and shrinks with their lack (the integrator of conformal PID control, Angelopoulos, Candès and Tibshirani
    2023). That moves the band alone, and no quantile.
    """

    def __init__(self, levels: Floats, band: tuple[float, float], horizon: int) -> None:
        self._targets = levels
        self._levels = levels.copy()
        self._middle = int(np.argmin(np.abs(levels - 0.5)))
        self._band = band
        self._low, self._high = band
        self._seen = 25
        self._counted, self._surplus = UNSEEN, 0.0
        self._caution = horizon ** (1 / 3)

    def apply(self, quantiles: Floats) -> tuple[Floats, float, float]:
        """Raw quantiles (Q,), rising, to published ones (Q,), and the band's ends."""
        asked = np.concatenate([self._levels, [self._low, self._high]])
        published = np.interp(asked, self._targets, quantiles)
        beyond = asked > self._targets[-1]
        slope = (quantiles[-1] - quantiles[-2]) / (self._targets[-1] - self._targets[-2])
        published[beyond] += slope * (asked[beyond] - self._targets[-1])
        under = asked < self._targets[0]
        slope = (quantiles[1] - quantiles[0]) / (self._targets[1] - self._targets[0])
        published[under] -= slope * (self._targets[0] - asked[under])
        published = np.maximum(published, 0.0)
        low, high = sorted((float(published[-2]), float(published[-1])))
        return np.maximum.accumulate(published[:-2]), *self._widened(low, float(quantiles[self._middle]), high)

    def _widened(self, low: float, middle: float, high: float) -> tuple[float, float]:
        if not low <= middle <= high:
            return low, high
        folds = PULL * self._surplus / self._counted**0.5
        factor = math.exp(min(max(folds, -FARTHEST), FARTHEST))
        return max(0.0, middle - (middle - low) * factor), middle + (high - middle) * factor

    def learn(self, published: Floats, low: float, high: float, actual: float) -> None:
        self._seen += 1
        step = max(STEP, FIRST_STEP / self._seen**0.5) / self._caution
        middle = self._targets == 0.5
        under = np.where(self._targets < 0.5, actual < published, actual <= published)
        moved = self._levels + step * (self._targets - under)
        self._levels = np.where(middle, self._targets, np.clip(moved, LOWEST, HIGHEST))
        target_low, target_high = self._band
        self._low = min(max(self._low + step * (target_low - (actual < low)), LOWEST), 2 * target_low)
        missed = actual < low or actual > high
        self._counted += 1
        self._surplus += float(missed) - (1.0 - target_high + target_low)
        self._high += step * (float(missed) - (1.0 - target_high + target_low))
        self._high = min(max(self._high, 0.5), HIGHEST)
