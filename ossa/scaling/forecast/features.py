"""Features of a forecast: lags, trends, calendar and the other series, each known at the origin.

Row t of every array is computed from rows 0..t of the panel and from clock time alone. Values are taken relative to
a level and divided by a scale, both local, so that a model learns shapes and holds when load grows tenfold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.scaling.forecast.series import Panel, carried, rolling_mean, smoothed

Floats = NDArray[np.float64]

DAY_S = 86_400
LAGS = 12
RELATIVE = ("lag", "mean", "season", "near", "seasons")
"""First words of the columns that are (value - level) / scale."""
WINDOWS = (2, 4, 8, 16, 32, 64, 128, 256)
LEVEL_ALPHA = 0.3
SCALE_WINDOW = 64
MEMORY = 320
"""Steps after which a value is remembered by nothing but seasons and the scale."""
CALENDAR_S = (300, 600, 900, 1800, 3600)
"""Periods of clocks that start jobs. A period shorter than two steps tells nothing and is left out."""


@dataclass(frozen=True)
class Features:
    """`table` (T, F), NaN where not known; `level`, `scale` (T,): a target y is learned as (y - level) / scale.

    `absolute` (T, F): the same with the lags, means and seasons as they are, for series whose level means something.
    """

    table: Floats
    absolute: Floats
    level: Floats
    scale: Floats
    names: tuple[str, ...]


def calendar_seasons(step_s: float) -> tuple[int, ...]:
    """A day and a week, and what jobs repeat by, in steps."""
    periods = (*CALENDAR_S, DAY_S, 7 * DAY_S)
    return tuple(round(period / step_s) for period in periods if period >= 2 * step_s)


@dataclass(frozen=True)
class Surroundings:
    """Features shared by all horizons. `full` (T,) has no gaps; the others cover the last `rows` and some before."""

    full: Floats
    level: Floats
    scale: Floats
    columns: dict[str, Floats]
    rows: int


def surroundings(panel: Panel, target: int, rows: int | None = None, *, tables: bool = True) -> Surroundings:
    """Prepares column `target`.

    Args:
        rows: only the last so many, at a cost that hardly grows with the panel.
        tables: False leaves out the columns, for callers without a fitted model.
    """
    wanted = len(panel) if rows is None else min(rows, len(panel))
    recent = min(len(panel), wanted + MEMORY)
    full = carried(panel.values[:, target])
    raw, known = panel.values[-recent:, target], full[-recent:]
    level = smoothed(known, LEVEL_ALPHA)
    scale = local_scale(full)[-recent:]
    if not tables:
        return Surroundings(full, level, scale, {}, wanted)
    columns: dict[str, Floats] = {f"lag_{lag}": (shifted(raw, lag) - level) / scale for lag in range(LAGS)}
    columns |= {f"mean_{window}": (rolling_mean(raw, window) - level) / scale for window in WINDOWS}
    _spread(columns, known, scale)
    columns["size"] = np.log(scale)
    columns["gap"] = np.where(np.isnan(raw), 1.0, 0.0)
    _others(columns, panel, target, recent)
    return Surroundings(full, level, scale, columns, wanted)


def features(panel: Panel, around: Surroundings, horizon: int, seasons: tuple[int, ...]) -> Features:
    """Returns features `horizon` steps ahead; without columns where `around` has none.

    Args:
        seasons: steps after which the series is thought to repeat.
    """
    wanted, level, scale = around.rows, around.level, around.scale
    if not around.columns:
        nothing = np.empty((wanted, 0))
        return Features(nothing, nothing, level[-wanted:], scale[-wanted:], ())
    columns = dict(around.columns)
    _repeats(columns, around.full, level, scale, horizon, seasons)
    _clock(columns, panel.seconds()[-len(level) :] + horizon * panel.step_s, panel.step_s)
    table = np.column_stack([column[-wanted:] for column in columns.values()])
    level, scale = level[-wanted:], scale[-wanted:]
    relative = np.asarray([name.split("_")[0] in RELATIVE for name in columns])
    absolute = np.where(relative, table * scale[:, None] + level[:, None], table)
    return Features(table, absolute, level, scale, tuple(columns))


def local_scale(known: Floats) -> Floats:
    """Mean size of late plus a share of all before, so that silence does not make it vanish. Always above 0."""
    size = np.abs(known)
    late = rolling_mean(size, SCALE_WINDOW)
    ever = np.cumsum(size) / np.arange(1, len(size) + 1)
    return np.asarray(np.maximum(0.8 * late + 0.2 * ever, 1e-9))


def shifted(values: Floats, steps: int, rows: int | None = None) -> Floats:
    """`values[t - steps]` at t, NaN where that lies before the start; the last `rows` of it, all by default."""
    wanted = len(values) if rows is None else rows
    moved = np.full(wanted, np.nan)
    end = len(values) - steps
    first = max(0, end - wanted)
    if end > 0:
        moved[wanted - (end - first) :] = values[first:end]
    return moved


def _spread(columns: dict[str, Floats], known: Floats, scale: Floats) -> None:
    steps = np.abs(np.diff(known, prepend=known[:1]))
    for window in (4, 16, 64):
        columns[f"restless_{window}"] = rolling_mean(steps, window) / scale
    quiet = known <= 0.05 * scale
    at = np.arange(len(known))
    last_loud = np.maximum.accumulate(np.where(quiet, -1, at))
    columns["quiet_steps"] = np.log1p(np.minimum(at - last_loud, MEMORY)).astype(np.float64)
    columns["quiet_share"] = rolling_mean(quiet.astype(np.float64), 64)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.full(15, known[0]), known]), 16)
    columns["high_16"] = (windows.max(axis=1) - known) / scale
    columns["low_16"] = (windows.min(axis=1) - known) / scale


def _repeats(
    columns: dict[str, Floats], full: Floats, level: Floats, scale: Floats, horizon: int, seasons: tuple[int, ...]
) -> None:
    """Adds the value one season before the target, and how far that was above its own level."""
    rows = len(level)
    for season in seasons:
        back = season * -(-horizon // season) - horizon
        columns[f"season_{season}"] = (shifted(full, back, rows) - level) / scale
        if season > 32:
            near = _mean_ago(full, 5, max(0, back - 2), rows)
            columns[f"near_season_{season}"] = (near - level) / scale
            columns[f"rise_{season}"] = (near - _mean_ago(full, 16, back + horizon, rows)) / scale
        if season <= 64:
            turns = [shifted(full, back + turn * season, rows) for turn in range(4)]
            columns[f"seasons_{season}"] = (np.mean(turns, axis=0) - level) / scale


def _mean_ago(full: Floats, window: int, steps: int, rows: int) -> Floats:
    """Mean of the `window` values that ended `steps` before each of the last `rows`."""
    return rolling_mean(shifted(full, steps, rows + window - 1), window)[-rows:]


def _clock(columns: dict[str, Floats], seconds: Floats, step_s: float) -> None:
    for period in CALENDAR_S:
        if period >= 2 * step_s:
            columns[f"of_{period}_s"] = np.mod(seconds, period)
    columns["of_day"] = np.mod(seconds, DAY_S)
    turn = 2 * np.pi * columns["of_day"] / DAY_S
    columns["day_sine"], columns["day_cosine"] = np.sin(turn), np.cos(turn)
    columns["weekday"] = np.floor_divide(seconds, DAY_S) % 7


def _others(columns: dict[str, Floats], panel: Panel, target: int, recent: int) -> None:
    for other, name in enumerate(panel.names):
        if other == target:
            continue
        values = panel.values[-recent:, other]
        known = carried(values)
        scale = rolling_mean(known, 256) + 1e-9
        level = rolling_mean(known, 32)
        columns[f"{name}:now"] = (values - level) / scale
        columns[f"{name}:before"] = (shifted(values, 1) - level) / scale
        columns[f"{name}:mean_4"] = (rolling_mean(values, 4) - level) / scale
