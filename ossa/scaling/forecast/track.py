"""One series at one horizon as it goes: experts in, calibrated quantiles out, learning from each value that comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import QUANTILES
from ossa.scaling.forecast.blend import Blend
from ossa.scaling.forecast.conformal import AdaptiveLevels, Residuals

Floats = NDArray[np.float64]

LEVELS = np.asarray(QUANTILES)
TAILS = tuple(level for level in QUANTILES if level != 0.5)
BAND = (0.05, 0.95)
ERROR_ALPHA = 0.05


@dataclass(frozen=True)
class Outlook:
    """What the experts say at one origin: `centres` (K,), `tails` (Q - 1,) of the trees, the local `scale`."""

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
    tail_choices: Floats
    tail_weights: Floats
    mixed_tails: Floats
    error_size: float


class Track:
    """Of one horizon, in steps. Call `issue` at each origin, and `learn` once its value is known, in order."""

    def __init__(self, prior: Floats, horizon: int) -> None:
        self._centre = Blend(np.asarray([0.5]), prior)
        self._tails = Blend(np.asarray(TAILS), np.ones(4))
        self._plain, self._scaled, self._sized = Residuals(), Residuals(), Residuals()
        self._tree_residuals = [Residuals() for _ in TAILS]
        self._levels = AdaptiveLevels(LEVELS, BAND, horizon)
        self._error_size: float | None = None

    @property
    def weights(self) -> Floats:
        """(K,) of the experts' centres."""
        return np.asarray(self._centre.weights[0])

    def issue(self, outlook: Outlook) -> Issued:
        centre = float(self._centre.mix(outlook.centres[None, :])[0])
        size = self._error_size if self._error_size else 0.1 * outlook.scale
        choices = np.asarray([self._choices(at, centre, size, outlook) for at in range(len(TAILS))])
        mixed = self._tails.mix(choices)
        middle = QUANTILES.index(0.5)
        raw = np.maximum(np.insert(mixed, middle, centre), 0.0)
        raw[:middle] = np.minimum(raw[:middle], raw[middle])
        raw[middle:] = np.maximum.accumulate(raw[middle:])
        published, low, high = self._levels.apply(raw)
        prediction = Prediction(published, low, high)
        return Issued(outlook, prediction, centre, self._centre.weights, choices, self._tails.weights, mixed, size)

    def _choices(self, at: int, centre: float, size: float, outlook: Outlook) -> tuple[float, float, float, float]:
        level = TAILS[at]
        return (
            centre + self._plain.quantile(level),
            centre + self._scaled.quantile(level) * outlook.scale,
            centre + self._sized.quantile(level) * size,
            float(outlook.tails[at]) + self._tree_residuals[at].quantile(level) * outlook.scale,
        )

    def learn(self, issued: Issued, actual: float) -> None:
        """A value that is not known (NaN) teaches nothing."""
        if not np.isfinite(actual):
            return
        outlook = issued.outlook
        self._centre.learn(outlook.centres[None, :], issued.centre_weights, np.asarray([issued.centre]), actual)
        self._tails.learn(issued.tail_choices, issued.tail_weights, issued.mixed_tails, actual)
        error = actual - issued.centre
        self._plain.add(error)
        self._scaled.add(error / outlook.scale)
        self._sized.add(error / max(issued.error_size, 1e-9))
        for residuals, tail in zip(self._tree_residuals, outlook.tails.tolist(), strict=True):
            residuals.add((actual - tail) / outlook.scale)
        before = abs(error) if self._error_size is None else self._error_size
        self._error_size = max(before + ERROR_ALPHA * (abs(error) - before), 1e-3 * outlook.scale)
        self._levels.learn(issued.prediction.quantiles, issued.prediction.low, issued.prediction.high, actual)
