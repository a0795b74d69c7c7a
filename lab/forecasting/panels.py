"""Samples and files to minutes of turns at once, as the predictor sees them when it forecasts.

A row is a minute and bears the time at which it ended. Turns at once are those that run and those that wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.traces.forms import Counts, read_trace, resample
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import PoolSample
from ossa.scaling.forecast.series import Panel, SeriesError
from ossa.scaling.predictor import MINUTE_S, Minutes

LONGEST_STEP_S = 60.0
"""Forecasts look a minute ahead: longer steps cannot say what comes."""


@dataclass(frozen=True)
class Recorded:
    """`name`: of the pool, the file's up to its first dot. Unix seconds at which samples end, and turns at once."""

    name: str
    seconds: list[float]
    values: list[float]


def recorded(file: Path, turn_s: float | None = None) -> Recorded:
    """Reads a file. Unknown values are left out.

    Args:
        turn_s: mean seconds of a turn, where the file says nothing: a series never does.

    Raises:
        InvalidRequest: naming the file, and where a value is wrong its line and column; or `turn_s` is needed.
    """
    series = read_trace(file)
    if isinstance(series, Counts) and series.step_s > LONGEST_STEP_S:
        raise InvalidRequest(f"{file}: its steps are {series.step_s:g} s; at most {LONGEST_STEP_S:g} s.")
    load = resample(series, turn_s)
    return Recorded(series.name, (series.start.timestamp() + load.ends_s).tolist(), load.running.tolist())


STEP_S = float(MINUTE_S)

MOST_STEPS = 1_000_000
"""A longer grid comes from a clock that jumped, not from samples."""


def of_samples(samples: Iterable[PoolSample]) -> Panel | None:
    """Pools by name, whatever minutes they have; None without a whole minute. The minute under way is left out."""
    minutes = Minutes().add(sorted(samples, key=lambda sample: sample.at))
    pools = sorted({pool for minute in minutes for pool in minute.needs})
    if not minutes:
        return None
    needs = {pool: [minute.needs.get(pool, math.nan) for minute in minutes] for pool in pools}
    return _on_minutes([minute.at.timestamp() for minute in minutes], needs)


def of_files(files: Sequence[Recorded]) -> Panel | None:
    """One pool a file, under the file's name. Raises `InvalidRequest` for two files of one name."""
    if not files:
        return None
    names = [one.name for one in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"Two files are called {', '.join(twice)}; a pool has one.", param="data")
    seconds = [math.ceil(second / STEP_S) * STEP_S for one in files for second in one.seconds]
    columns = {}
    for one in sorted(files, key=lambda file: file.name):
        columns[one.name] = [
            value for other in files for value in (other.values if other is one else [math.nan] * len(other.values))
        ]
    return _on_minutes(seconds, columns)


def joined(samples: Panel | None, files: Panel | None) -> Panel:
    """Files tell what was before the samples: where both know a minute, the sample counts.

    Raises:
        InvalidRequest: neither has anything, or a file is of a pool that the fleet does not have.
    """
    if samples is None or files is None:
        only = samples if samples is not None else files
        if only is None:
            raise InvalidRequest(
                "There is nothing to learn from: no sample of the fleet is kept, and no file was given. Let a fleet "
                "with OSSA_SCALING__MODE dry-run or on run for a day, or give series with --data."
            )
        return only
    if strange := sorted(set(files.names) - set(samples.names)):
        raise InvalidRequest(
            f"The fleet has no pool {', '.join(strange)} ({', '.join(samples.names)}): name a file after its pool, or "
            "learn from files alone with --no-samples.",
            param="data",
        )
    older = reordered(files, samples.names)
    seconds = np.concatenate([older.seconds(), samples.seconds()])
    values = np.concatenate([np.where(_known_at(samples, older), np.nan, older.values), samples.values])
    return _on_minutes(seconds.tolist(), {name: values[:, at].tolist() for at, name in enumerate(samples.names)})


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


def reordered(given: Panel, names: tuple[str, ...]) -> Panel:
    """The columns `names`, NaN where `given` has none of that name."""
    unknown = np.full(len(given), np.nan)
    columns = [given.values[:, given.names.index(name)] if name in given.names else unknown for name in names]
    return Panel(given.start_s, given.step_s, names, np.column_stack(columns))


def _known_at(samples: Panel, older: Panel) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether samples know each of `older`'s values. Columns are the same."""
    rows = np.round((older.seconds() - samples.start_s) / STEP_S).astype(int)
    inside = (rows >= 0) & (rows < len(samples))
    known = np.isfinite(samples.values[np.clip(rows, 0, len(samples) - 1)])
    return np.asarray(known & inside[:, None])


def _on_minutes(seconds: Sequence[float], columns: dict[str, list[float]]) -> Panel:
    try:
        return panel(seconds, columns, STEP_S)
    except SeriesError as error:
        raise InvalidRequest(f"What there is to learn from is no series: {error}.") from error
