"""A file in the series or events form as turns at once of one pool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.traces.forms import Counts, read_trace
from lab.traces.resample import resample
from ossa.contracts.errors import InvalidRequest

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
