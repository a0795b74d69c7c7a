"""Series on an even grid of time, and means over their past. Gaps are NaN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class SeriesError(ValueError):
    """The input is no usable series. The message names the wrong figure."""


@dataclass(frozen=True)
class Panel:
    """`values` (T, P): column p at `start_s + t * step_s` (Unix seconds), at least 0, NaN where not known."""

    start_s: float
    step_s: float
    names: tuple[str, ...]
    values: Floats

    def __post_init__(self) -> None:
        if not self.step_s > 0:
            raise SeriesError(f"step_s is {self.step_s}; it must be above 0")
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise SeriesError(f"values are {self.values.shape}; expected (steps, {len(self.names)})")
        if np.isinf(self.values).any():
            raise SeriesError("values are infinite; give NaN for what is not known")
        if (self.values < 0).any():
            raise SeriesError(f"values are negative (lowest {np.nanmin(self.values)}); load is at least 0")

    def __len__(self) -> int:
        return len(self.values)

    def seconds(self) -> Floats:
        return self.start_s + self.step_s * np.arange(len(self.values), dtype=np.float64)

    def until(self, rows: int) -> Panel:
        """The first `rows` rows."""
        return Panel(self.start_s, self.step_s, self.names, self.values[:rows])

    def last(self, rows: int) -> Panel:
        """The last `rows` rows."""
        first = max(0, len(self.values) - rows)
        return Panel(self.start_s + first * self.step_s, self.step_s, self.names, self.values[first:])


def carried(values: Floats) -> Floats:
    """Replaces NaN by the last known value, or 0 before the first one."""
    at = np.where(np.isnan(values), 0, np.arange(len(values)))
    filled = values[np.maximum.accumulate(at)]
    return np.asarray(np.where(np.isnan(filled), 0.0, filled))


def rolling_mean(values: Floats, window: int) -> Floats:
    """Returns the mean of the known ones of the last `window` values; NaN if none is known."""
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
    levels = np.empty(len(values))
    level = float(values[0])
    for at, value in enumerate(values.tolist()):
        level += alpha * (value - level)
        levels[at] = level
    return levels


def rolling_median(values: Floats, window: int) -> Floats:
    """Returns the median of the last `window` values. The first value fills in before the start."""
    padded = np.concatenate([np.full(window - 1, values[0]), values])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1))
