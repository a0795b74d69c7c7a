"""Files in the series and events forms, plain or .gz, and a trace as a pool's samples: arrivals, and turns at once.

series   timestamp, value                             turns in each of equal steps; empty or missing: not known
events   timestamp, duration_s, tokens_in, tokens_out  one turn a line; empty: not known

Timestamps are ISO 8601, UTC where no zone is given, in any order.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.simulator.trace import concurrency
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.scaling import SAMPLE_S, PoolSample

Floats = NDArray[np.float64]

MOST_STEPS = 10_000_000
"""A longer series has a wrong timestamp."""

OFF_STEP = 0.25
"""Share of a step by which a timestamp may lie beside it."""

SHORTEST_S = 0.01
PREFILL_TOKENS_S = 3_000.0
DECODE_TOKENS_S = 30.0
CALL_S = 0.5


@dataclass(frozen=True, slots=True)
class Counts:
    """`values`: turns in each of equal steps from `start` on; NaN where not known."""

    name: str
    start: datetime
    step_s: float
    values: Floats


@dataclass(frozen=True, slots=True)
class Events:
    """One turn each: `arrivals` in seconds after `start`, ascending; `durations` in seconds, NaN where not known."""

    name: str
    start: datetime
    arrivals: Floats
    durations: Floats


Series = Counts | Events


def read_trace(file: Path) -> Series:
    """Raises `InvalidRequest` that names the file, and where a value is wrong its line and column."""
    lines = list(_lines(file))
    columns = set(lines[0].values) if lines else set()
    if "timestamp" not in columns:
        raise InvalidRequest(
            f"{file}: it needs lines with the columns timestamp,value or timestamp,duration_s,tokens_in,tokens_out."
        )
    name = file.name.split(".")[0]
    return _counts(file, name, lines) if "value" in columns else _events(name, lines)


def turn_seconds(tokens_in: float, tokens_out: float) -> float:
    """An estimate, where only tokens are known: a call, and its tokens at the pace of a usual model server."""
    return CALL_S + tokens_in / PREFILL_TOKENS_S + tokens_out / DECODE_TOKENS_S


class _Line(NamedTuple):
    file: Path
    number: int
    values: dict[str, str | None]

    def moment(self) -> datetime:
        text = (self.values["timestamp"] or "").strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise self.refusal("timestamp", f"{text!r} is no ISO 8601 time") from None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def amount(self, column: str) -> float | None:
        """At least 0; None where the file has nothing."""
        text = (self.values.get(column) or "").strip()
        if not text:
            return None
        try:
            amount = float(text)
        except ValueError:
            raise self.refusal(column, f"{text!r} is no number") from None
        if not (isfinite(amount) and amount >= 0):
            raise self.refusal(column, f"{text} is not 0 or more")
        return amount

    def refusal(self, column: str, said: str) -> InvalidRequest:
        return InvalidRequest(f"{self.file}: line {self.number}, column {column}: {said}.")


def _lines(file: Path) -> Iterator[_Line]:
    if not file.is_file():
        raise InvalidRequest(f"There is no file {file}.")
    try:
        content = file.read_bytes()
        text = gzip.decompress(content) if file.suffix == ".gz" else content
        reader = csv.DictReader(io.StringIO(text.decode("utf-8-sig")))
        for values in reader:
            yield _Line(file, reader.line_num, values)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{file} cannot be read as CSV: {error}.") from error


def _counts(file: Path, name: str, lines: Sequence[_Line]) -> Counts:
    found = sorted(((line.moment(), line.amount("value"), line) for line in lines), key=lambda one: one[0])
    start = found[0][0]
    seconds = np.asarray([(moment - start).total_seconds() for moment, _, _ in found])
    gaps = np.diff(seconds)
    if not (gaps > 0).any():
        raise InvalidRequest(f"{file}: a series needs two lines with different times or more.")
    step_s = float(np.median(gaps[gaps > 0]))
    last = seconds[-1] / step_s
    if last >= MOST_STEPS:
        raise found[-1][2].refusal("timestamp", f"{last:.0f} steps of {step_s:g} s after the first; most: {MOST_STEPS}")
    values = np.full(round(last) + 1, np.nan)
    taken: set[int] = set()
    for after, (_, value, line) in zip((seconds / step_s).tolist(), found, strict=True):
        step = round(after)
        if abs(after - step) > OFF_STEP:
            raise line.refusal("timestamp", f"it lies between two steps of {step_s:g} s")
        if step in taken:
            raise line.refusal("timestamp", f"another line has the same step of {step_s:g} s")
        taken.add(step)
        values[step] = np.nan if value is None else value
    if not np.isfinite(values).any():
        raise InvalidRequest(f"{file}: no line has a value.")
    return Counts(name, start, step_s, values)


def _events(name: str, lines: Sequence[_Line]) -> Events:
    found = sorted((line.moment(), _duration(line)) for line in lines)
    start = found[0][0]
    arrivals = np.asarray([(moment - start).total_seconds() for moment, _ in found])
    return Events(name, start, arrivals, np.asarray([duration for _, duration in found]))


def _duration(line: _Line) -> float:
    """Returns the line's duration, else one by its tokens, else NaN."""
    seconds, tokens_in, tokens_out = (line.amount(column) for column in ("duration_s", "tokens_in", "tokens_out"))
    if seconds is not None:
        return max(SHORTEST_S, seconds)
    if tokens_in is None and tokens_out is None:
        return float("nan")
    return turn_seconds(tokens_in or 0.0, tokens_out or 0.0)


MOST_SAMPLES = 4_000_000
"""More than a year."""


@dataclass(frozen=True, slots=True)
class Load:
    """All of shape (N,): seconds after the trace's start at which samples end, whole turns asked for, turns at once."""

    ends_s: Floats
    arrivals: NDArray[np.int64]
    running: Floats

    def __len__(self) -> int:
        return len(self.ends_s)

    @property
    def seconds(self) -> float:
        """Until the last sample's end."""
        return float(self.ends_s[-1])

    def samples(self, pool: str, start: datetime) -> Iterator[PoolSample]:
        """Returns samples of a trace that begins at `start`. Fields that only a running pool knows stay unknown."""
        for end_s, arrivals, running in zip(
            self.ends_s.tolist(), self.arrivals.tolist(), self.running.tolist(), strict=True
        ):
            yield PoolSample(pool=pool, at=start + timedelta(seconds=end_s), arrivals=arrivals, running=running)


def resample(series: Series, turn_s: float | None = None) -> Load:
    """Whole samples alone, and none where the trace does not know its turns.

    Args:
        turn_s: mean seconds of a turn, where the trace says nothing.

    Raises:
        InvalidRequest: `turn_s` is needed; or the trace is shorter than a sample, or longer than `MOST_SAMPLES`.
    """
    load = _of_counts(series, turn_s) if isinstance(series, Counts) else _of_events(series, turn_s)
    if not len(load):
        raise InvalidRequest(f"{series.name} is shorter than a sample of {SAMPLE_S:g} s.")
    return load


def _of_counts(counts: Counts, turn_s: float | None) -> Load:
    """A step's turns come evenly; turns at once are their rate times their mean duration (Little 1961)."""
    if turn_s is None:
        raise InvalidRequest(
            f"{counts.name} is a series and says nothing of durations: say what a turn takes.", param="task-seconds"
        )
    knots = np.arange(len(counts.values) + 1) * counts.step_s
    edges = _edges(counts.name, float(knots[-1]))
    known = np.isfinite(counts.values)
    turns = np.interp(edges, knots, _summed(np.where(known, counts.values, 0.0)))
    known_s = np.diff(np.interp(edges, knots, _summed(known * counts.step_s)))
    kept = known_s > SAMPLE_S * (1 - 1e-9)
    arrivals = np.diff(np.floor(turns + 0.5)).astype(np.int64)
    running = np.diff(turns) / SAMPLE_S * turn_s
    return Load(edges[1:][kept], arrivals[kept], running[kept])


def _of_events(events: Events, turn_s: float | None) -> Load:
    """Turns that were running when the trace began are not in it; samples end with its last arrival."""
    missing = np.isnan(events.durations)
    if missing.any() and turn_s is None:
        raise InvalidRequest(
            f"{events.name}: {missing.sum()} turns have no duration: say what one takes.", param="task-seconds"
        )
    durations = np.where(missing, turn_s or 0.0, events.durations)
    seconds = (events.arrivals[-1] // SAMPLE_S + 1) * SAMPLE_S
    edges = _edges(events.name, float(seconds))
    arrivals = np.diff(np.searchsorted(events.arrivals, edges))
    running = concurrency(events.arrivals, durations, float(seconds), SAMPLE_S)
    return Load(edges[1:], arrivals, np.maximum(running, 0.0))


def _edges(name: str, seconds: float) -> Floats:
    count = int(seconds / SAMPLE_S + 1e-9)
    if count > MOST_SAMPLES:
        raise InvalidRequest(f"{name} has {count} samples of {SAMPLE_S:g} s; at most {MOST_SAMPLES}.")
    return np.arange(count + 1, dtype=np.float64) * SAMPLE_S


def _summed(values: Floats) -> Floats:
    return np.concatenate((np.zeros(1), np.cumsum(values)))
