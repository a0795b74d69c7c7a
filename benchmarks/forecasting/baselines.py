"""What any forecast must beat, each with the quantiles of its own last residuals around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from benchmarks.forecasting.origins import Origins
from benchmarks.forecasting.ours import Forecasts
from ossa.contracts.scaling import QUANTILES
from ossa.scaling.forecast.experts import shifted_back
from ossa.scaling.forecast.features import DAY_S, shifted
from ossa.scaling.forecast.series import Panel, carried, rolling_mean, smoothed

Floats = NDArray[np.float64]

ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
TRENDS = (0.0, 0.02, 0.1)
SEASONS_S = (300, 900, 3600, DAY_S, 7 * DAY_S)
RESIDUALS = 400
MOST_ROWS = 8_000


def persistence(panel: Panel, horizon: int, at: Origins) -> Floats:
    return carried(panel.values[:, 0])


def seasonal_naive(panel: Panel, horizon: int, at: Origins) -> Floats:
    """The season, of 5 and 15 minutes, hour, day and week, with the lowest error before the first scored origin."""
    values = panel.values[:, 0]
    known = carried(values)
    found = []
    for period in SEASONS_S:
        season = round(period / panel.step_s)
        if 2 <= season <= at.start // 2:
            ago = shifted(known, season * -(-horizon // season) - horizon)
            found.append(np.where(np.isnan(ago), known, ago))
    return _best(found or [known], values, horizon, at)


def exponential_smoothing(panel: Panel, horizon: int, at: Origins) -> Floats:
    """Simple and with a damped trend (Gardner 1985); constants of the lowest error before the first scored origin."""
    values = panel.values[:, 0]
    known = carried(values)
    found = [_holt(known, alpha, trend, horizon) for alpha in ALPHAS for trend in TRENDS]
    return _best(found, values, horizon, at)


def default_boosting(panel: Panel, horizon: int, at: Origins) -> Floats:
    """scikit-learn's histogram gradient boosting as it comes, on lags, means, calendar, seasons; refitted as ours."""
    table = _plain_features(panel, horizon)
    target = shifted_back(panel.values[:, 0], horizon)
    found = np.full(len(panel), np.nan)
    for first, last in at.blocks():
        usable = np.flatnonzero(np.isfinite(target[: max(0, first - horizon)]))[-MOST_ROWS:]
        columns = np.isfinite(table[usable]).any(axis=0)
        # On cores that others use its threads wait for one another, twenty times as long as the work takes.
        with threadpool_limits(1, user_api="openmp"):
            model = HistGradientBoostingRegressor(random_state=7).fit(table[usable][:, columns], target[usable])
            found[first:last] = np.maximum(model.predict(table[first:last][:, columns]), 0.0)
    return found


METHODS = {
    "persistence": persistence,
    "seasonal_naive": seasonal_naive,
    "exponential_smoothing": exponential_smoothing,
    "gradient_boosting": default_boosting,
}


def with_quantiles(point: Floats, values: Floats, horizon: int, at: Origins) -> Forecasts:
    """Around each forecast the quantiles of the last residuals that were known at its origin; the point is the .5."""
    target = shifted_back(values, horizon)
    residuals = (target - point)[at.warm : at.end]
    moved = np.concatenate([np.full(RESIDUALS + horizon - 1, np.nan), residuals])
    windows = np.lib.stride_tricks.sliding_window_view(moved, RESIDUALS)[at.start - at.warm : at.end - at.warm]
    spread = np.empty((len(windows), len(QUANTILES)))
    for first in range(0, len(windows), 4096):
        part = np.sort(windows[first : first + 4096], axis=1)
        known = np.isfinite(part).sum(axis=1)
        for column, level in enumerate(QUANTILES):
            rank = np.clip(np.ceil(level * (known + 1)) - 1, 0, np.maximum(known - 1, 0)).astype(int)
            spread[first : first + 4096, column] = np.nan_to_num(part[np.arange(len(part)), rank])
    spread[:, QUANTILES.index(0.5)] = 0.0
    quantiles = np.maximum(point[at.start : at.end, None] + spread, 0.0)
    return Forecasts(quantiles, quantiles[:, QUANTILES.index(0.05)], quantiles[:, QUANTILES.index(0.95)])


def _best(found: list[Floats], values: Floats, horizon: int, at: Origins) -> Floats:
    last = at.start - horizon
    target = shifted_back(values, horizon)[:last]
    errors = [np.nanmean(np.abs(target - one[:last])) for one in found]
    return found[int(np.argmin(errors))]


def _holt(known: Floats, alpha: float, trend: float, horizon: int, damping: float = 0.9) -> Floats:
    if trend == 0.0:
        return smoothed(known, alpha)
    found = np.empty(len(known))
    reach = sum(damping**step for step in range(1, horizon + 1))
    level, slope = float(known[0]), 0.0
    for at, value in enumerate(known.tolist()):
        before = level
        level = alpha * value + (1 - alpha) * (level + damping * slope)
        slope = trend * (level - before) + (1 - trend) * damping * slope
        found[at] = level + reach * slope
    return np.maximum(found, 0.0)


def _plain_features(panel: Panel, horizon: int) -> Floats:
    values = panel.values[:, 0]
    columns = [shifted(values, lag) for lag in range(12)]
    columns += [rolling_mean(values, window) for window in (4, 16, 64)]
    seconds = panel.seconds() + horizon * panel.step_s
    columns += [np.mod(seconds, DAY_S), np.floor_divide(seconds, DAY_S) % 7, np.mod(seconds, 3600)]
    for period in SEASONS_S:
        season = round(period / panel.step_s)
        if season > horizon:
            columns.append(shifted(values, season - horizon))
    return np.column_stack(columns)
