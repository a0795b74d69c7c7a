"""The experts of one series at one horizon: simple ones that need no training, and the fitted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.scaling.forecast.features import MEMORY, Features, calendar_seasons, features, shifted, surroundings
from ossa.scaling.forecast.model import Fitted
from ossa.scaling.forecast.series import Panel, rolling_median
from ossa.scaling.forecast.track import TAILS

Floats = NDArray[np.float64]

MEDIANS = (5, 15, 45, 135)
"""Steps that running medians look back."""
PRIOR = {"relative": 6.0, "absolute": 3.0, "linear": 1.0}
SIMPLE_PRIOR = 0.3
RIPE_ROWS = 1500
"""With fewer rows to learn from, less is expected of what was fitted."""


@dataclass(frozen=True)
class Prepared:
    """A panel's features and simple forecasts, every row from its past alone."""

    features: Features
    simple: Floats
    names: tuple[str, ...]
    target: Floats
    horizon: int

    def prior(self, rows: int) -> Floats:
        """(K,) what is expected of the experts, the learned ones after `rows` rows."""
        ripe = min(1.0, rows / RIPE_ROWS)
        return np.asarray([max(ripe * PRIOR[name], 0.1) if name in PRIOR else SIMPLE_PRIOR for name in self.names])


@dataclass(frozen=True)
class Said:
    """`centres` (n, K), `tails` (n, Q - 1), `scale` (n,)."""

    centres: Floats
    tails: Floats
    scale: Floats


def prepared(panel: Panel, target: int, horizon: int) -> Prepared:
    """Prepares every origin in the panel."""
    return prepared_all(panel, target, (horizon,))[0]


def prepared_all(
    panel: Panel, target: int, horizons: tuple[int, ...], rows: int | None = None, *, tables: bool = True
) -> tuple[Prepared, ...]:
    """Prepares every origin, or the last `rows`; what horizons share is made once.

    Args:
        tables: False leaves out what only a fitted model reads.
    """
    seasons = calendar_seasons(panel.step_s)
    around = surroundings(panel, target, rows, tables=tables)
    levels = _level_forecasts(around.full, around.rows)
    by_horizon = []
    for horizon in horizons:
        simple = levels | _seasonal_forecasts(around.full, around.rows, horizon, seasons)
        later = shifted_back(panel.values[:, target], horizon)[-around.rows :]
        table = features(panel, around, horizon, seasons)
        by_horizon.append(Prepared(table, np.column_stack(list(simple.values())), (*simple, *PRIOR), later, horizon))
    return tuple(by_horizon)


def shifted_back(values: Floats, steps: int) -> Floats:
    """`values[t + steps]` at t, NaN where that lies after the end: what a forecast aims at."""
    later = np.full(len(values), np.nan)
    later[: max(0, len(values) - steps)] = values[steps:]
    return later


def say(given: Prepared, fitted: Fitted | None, rows: slice) -> Said:
    """Returns what each expert forecasts at the origins `rows`.

    Without a fit, or where a fit yields no finite number, the fitted experts repeat the smoothed level.
    """
    known = given.features
    table, level, scale = known.table[rows], known.level[rows], known.scale[rows]
    if fitted is None:
        learned = [level] * len(PRIOR)
        tails = np.repeat(level[:, None], len(TAILS), axis=1)
    else:
        learned = [
            fitted.relative.predict(table)[:, 0] * scale + level,
            fitted.absolute.predict(known.absolute[rows])[:, 0] * fitted.mean,
            fitted.linear.predict(table) * scale + level,
        ]
        tails = fitted.tails.predict(table) * scale[:, None] + level[:, None]
    learned = [np.where(np.isfinite(forecast), forecast, level) for forecast in learned]
    tails = np.where(np.isfinite(tails), tails, level[:, None])
    centres = np.column_stack([given.simple[rows], *learned])
    return Said(np.maximum(centres, 0.0), np.maximum(tails, 0.0), scale)


def _level_forecasts(full: Floats, rows: int) -> dict[str, Floats]:
    """Persistence and running medians, the same for every horizon.

    Args:
        full: (T,) without gaps; the last `rows` are forecast from.
    """
    known = full[-(rows + MEMORY) :]
    medians = {f"median_{size}": rolling_median(known[-(rows + size) :], size)[-rows:] for size in MEDIANS}
    return {"last": known[-rows:], **medians}


def _seasonal_forecasts(full: Floats, rows: int, horizon: int, seasons: tuple[int, ...]) -> dict[str, Floats]:
    """The same time a season ago; the last value while there is none."""
    forecasts = {}
    for season in seasons:
        ago = shifted(full, season * -(-horizon // season) - horizon, rows)
        forecasts[f"season_{season}"] = np.where(np.isnan(ago), full[-rows:], ago)
    return forecasts
