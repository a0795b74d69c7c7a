"""Series on an even grid of time: gaps are NaN, and what a clock cannot mean is refused or put right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_STEPS = 1_000_000
"""A grid longer than this comes from a clock that jumped, not from samples."""


class SeriesError(ValueError):
    """What was given is no series; the message says which figure is wrong."""


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


def panel(seconds: Sequence[float], columns: Mapping[str, Sequence[float]], step_s: float) -> Panel:
    """Samples in any order onto a grid: means of what falls in one step, NaN where none does.

    Samples at times that are not finite are left out; so are values that are not finite or below 0.

    Raises:
        SeriesError: no usable sample, or the times span more than `MOST_STEPS` steps (a clock that jumped).
    """
    at = np.asarray(seconds, dtype=np.float64)
    usable = np.isfinite(at)
    if not usable.any():
        raise SeriesError("no sample has a time")
    start = float(np.floor(at[usable].min() / step_s) * step_s)
    span = (at[usable].max() - start) / step_s
    if span >= MOST_STEPS:
        raise SeriesError(f"samples span {span:.0f} steps of {step_s} s; at most {MOST_STEPS}")
    rows = int(span) + 1
    values = np.full((rows, len(columns)), np.nan)
    for column, given in enumerate(columns.values()):
        found = np.asarray(given, dtype=np.float64)
        if found.shape != at.shape:
            raise SeriesError(f"{list(columns)[column]} has {found.shape[0]} values for {len(at)} times")
        with np.errstate(invalid="ignore"):
            good = usable & np.isfinite(found) & (found >= 0)
        index = ((at[good] - start) / step_s).astype(np.int64)
        counts = np.bincount(index, minlength=rows)
        sums = np.bincount(index, weights=found[good], minlength=rows)
        values[:, column] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Panel(start, step_s, tuple(columns), values)
