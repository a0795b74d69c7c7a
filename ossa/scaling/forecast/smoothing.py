"""Means over the past: rolling and exponential. Row t uses rows 0..t alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def carried(values: Floats) -> Floats:
    """NaN becomes the last value known; before the first one, 0."""
    at = np.where(np.isnan(values), 0, np.arange(len(values)))
    filled = values[np.maximum.accumulate(at)]
    return np.asarray(np.where(np.isnan(filled), 0.0, filled))


def rolling_mean(values: Floats, window: int) -> Floats:
    """Mean of the last `window` values that are known, fewer at the start; NaN where none is."""
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    end = np.arange(1, len(values) + 1)
    first = np.maximum(end - window, 0)
    number = counts[end] - counts[first]
    mean = (sums[end] - sums[first]) / np.maximum(number, 1)
    return np.asarray(np.where(number > 0, mean, np.nan))


def smoothed(values: Floats, alpha: float) -> Floats:
    """Simple exponential smoothing: s[t] = alpha * x[t] + (1 - alpha) * s[t-1], s[0] = x[0] (Brown 1959)."""
    found = np.empty(len(values))
    level = float(values[0])
    for at, value in enumerate(values.tolist()):
        level += alpha * (value - level)
        found[at] = level
    return found


def rolling_median(values: Floats, window: int) -> Floats:
    """Median of the last `window` values; the first value stands for what lies before the start."""
    padded = np.concatenate([np.full(window - 1, values[0]), values])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1))
