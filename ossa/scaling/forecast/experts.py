"""The experts of one series at one horizon: the simple ones, and those that are fitted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ossa.scaling.forecast.boosting import BoostingSettings, fit_trees
from ossa.scaling.forecast.features import Features, calendar_seasons, features, surroundings
from ossa.scaling.forecast.grid import Panel, SeriesError
from ossa.scaling.forecast.linear import Linear, fit_linear
from ossa.scaling.forecast.simple import level_forecasts, seasonal_forecasts
from ossa.scaling.forecast.track import TAILS
from ossa.scaling.forecast.trees import Trees

Floats = NDArray[np.float64]

FEWEST_ROWS = 40
"""Below, nothing is fitted and the simple experts stand alone."""
SKIPPED_ROWS = 8
"""First rows of a series, whose lags are not there yet."""
PRIOR = {"relative": 6.0, "absolute": 3.0, "linear": 1.0}
SIMPLE_PRIOR = 0.3
RIPE_ROWS = 1500
"""With fewer rows to learn from, less is expected of what was fitted."""
TAIL_SETTINGS = BoostingSettings(rounds=25, eta=0.2, max_depth=3)


@dataclass(frozen=True)
class FitSettings:
    centre: BoostingSettings = field(default_factory=BoostingSettings)
    tails: BoostingSettings = TAIL_SETTINGS
    most_rows: int = 8_000


@dataclass(frozen=True)
class Fitted:
    """`relative` and `absolute` forecast the median, from features relative to the level and as they are."""

    relative: Trees
    absolute: Trees
    tails: Trees
    linear: Linear
    mean: float
    """What targets were divided by for `absolute`."""


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
    """Of every origin in the panel."""
    return prepared_all(panel, target, (horizon,))[0]


def prepared_all(panel: Panel, target: int, horizons: tuple[int, ...], rows: int | None = None) -> tuple[Prepared, ...]:
    """Of every origin, or of the last `rows`; what horizons share is made once."""
    seasons = calendar_seasons(panel.step_s)
    around = surroundings(panel, target, rows)
    levels = level_forecasts(around.full, around.rows)
    found = []
    for horizon in horizons:
        simple = levels | seasonal_forecasts(around.full, around.rows, horizon, seasons)
        later = shifted_back(panel.values[:, target], horizon)[-around.rows :]
        table = features(panel, around, horizon, seasons)
        found.append(Prepared(table, np.column_stack(list(simple.values())), (*simple, *PRIOR), later, horizon))
    return tuple(found)


def shifted_back(values: Floats, steps: int) -> Floats:
    """`values[t + steps]` at t, NaN where that lies after the end: what a forecast aims at."""
    later = np.full(len(values), np.nan)
    later[: max(0, len(values) - steps)] = values[steps:]
    return later


def fit(given: Prepared, until: int, settings: FitSettings) -> Fitted:
    """On origins whose target lies before row `until`: what was known at origin `until - 1`.

    Raises:
        SeriesError: fewer than `FEWEST_ROWS` such origins with a known target.
    """
    last = until - given.horizon
    usable = np.flatnonzero(np.isfinite(given.target[: max(0, last)]))
    usable = usable[usable >= SKIPPED_ROWS][-settings.most_rows :]
    if len(usable) < FEWEST_ROWS:
        raise SeriesError(f"{len(usable)} rows to learn {given.horizon} steps ahead from; at least {FEWEST_ROWS}")
    known = given.features
    target, scale = given.target[usable], known.scale[usable]
    relative = (target - known.level[usable]) / scale
    weight = scale / scale.mean()
    mean = float(np.abs(target).mean()) or 1.0
    even = np.ones(len(usable))
    return Fitted(
        fit_trees(known.table[usable], relative, weight, (0.5,), settings.centre),
        fit_trees(known.absolute[usable], target / mean, even, (0.5,), settings.centre),
        fit_trees(known.table[usable], relative, weight, TAILS, settings.tails),
        fit_linear(known.table[usable], relative, weight),
        mean,
    )


def say(given: Prepared, fitted: Fitted | None, rows: slice) -> Said:
    """What each expert forecasts at the origins `rows`.

    Without a fit, or where a fit says no number, the learned ones repeat the smoothed level.
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
    learned = [np.where(np.isfinite(one), one, level) for one in learned]
    tails = np.where(np.isfinite(tails), tails, level[:, None])
    centres = np.column_stack([given.simple[rows], *learned])
    return Said(np.maximum(centres, 0.0), np.maximum(tails, 0.0), scale)
