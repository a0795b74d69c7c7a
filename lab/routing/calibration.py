"""Whether a likelihood means what it says, and making it so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ossa.routing.learned.labels import LEAST_LIKELY

Array = NDArray[Any]
BINS = 15
LEAST_EACH = 50
"""Right and wrong texts that a logistic of two numbers is fitted to."""


def expected_calibration_error(sure: Array, right: Array, bins: int = BINS) -> float:
    """Mean distance of likelihood and share of right ones over equal bins, by their counts (Guo et al. 2017)."""
    at = np.minimum((np.asarray(sure) * bins).astype(int), bins - 1)
    count = np.bincount(at, minlength=bins)
    likely = np.bincount(at, weights=sure, minlength=bins)
    correct = np.bincount(at, weights=np.asarray(right, dtype=float), minlength=bins)
    return float(np.abs(likely - correct).sum() / max(1, count.sum()))


def best_temperature(logits: Array, wanted: Array) -> float:
    """The temperature of the least cross-entropy, by golden-section search on its logarithm."""
    scores = np.asarray(logits, dtype=np.float64)

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        top = scaled.max(axis=1)
        total = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top
        return float((total - scaled[np.arange(len(wanted)), wanted]).mean())

    low, high = -3.0, 3.0
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        one, other = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, other) if loss(one) < loss(other) else (one, high)
    return float(np.exp((low + high) / 2))


def platt(sure: Array, right: Array) -> tuple[float, float]:
    """(slope, bias) of a logistic regression of what was right on the log-odds of `sure` (Platt 1999).

    (1, 0), which changes nothing, where there are too few texts, or too few right or wrong ones.
    """
    wrong = int(np.sum(~right))
    if min(wrong, len(right) - wrong) < LEAST_EACH:
        return 1.0, 0.0
    likely = np.clip(np.asarray(sure, dtype=np.float64), LEAST_LIKELY, 1 - LEAST_LIKELY)
    fitted = LogisticRegression(C=100.0).fit(np.log(likely / (1 - likely))[:, None], right)
    slope, bias = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (round(slope, 4), round(bias, 4)) if slope > 0 else (1.0, 0.0)


def floor_for(sure: Array, right: Array, spared: float) -> float:
    """The highest likelihood to ask for that still lets `spared` of the right answers through."""
    found = np.sort(np.asarray(sure)[np.asarray(right, dtype=bool)])
    return float(found[int((1 - spared) * len(found))]) if len(found) else 0.0
