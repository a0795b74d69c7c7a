"""Forecasts that need no training: persistence, exponential smoothing, medians, the same time a season ago."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ossa.scaling.forecast.features import MEMORY, shifted
from ossa.scaling.forecast.smoothing import rolling_median, smoothed

Floats = NDArray[np.float64]

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.7)
MEDIANS = (5, 15, 45, 135)


def level_forecasts(full: Floats, rows: int) -> dict[str, Floats]:
    """Those that are the same for every horizon. `full` (T,) has no gaps; the last `rows` are forecast from."""
    known = full[-(rows + MEMORY) :]
    found = {"last": known[-rows:]}
    found |= {f"smoothed_{alpha}": smoothed(known, alpha)[-rows:] for alpha in ALPHAS}
    return found | {f"median_{size}": rolling_median(known[-(rows + size) :], size)[-rows:] for size in MEDIANS}


def seasonal_forecasts(full: Floats, rows: int, horizon: int, seasons: tuple[int, ...]) -> dict[str, Floats]:
    """The same time a season ago; the last value while there is none."""
    found = {}
    for season in seasons:
        ago = shifted(full, season * -(-horizon // season) - horizon, rows)
        found[f"season_{season}"] = np.where(np.isnan(ago), full[-rows:], ago)
    return found
