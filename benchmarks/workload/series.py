"""Series of the workload data: which columns, which bins.

A `WorkloadSeries` has its target in column 0 of `panel`; further columns are companions, known as the target is.
Bins are of the clock. A bin without arrivals is 0; a bin without a measurement is NaN and not scored.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lab.traces.forms import Counts, read_trace
from ossa.contracts.errors import InvalidRequest
from ossa.scaling.forecast.series import Panel

Column = Mapping[int, float]


@dataclass(frozen=True)
class WorkloadSeries:
    name: str
    unit: str
    panel: Panel


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open("rb") as raw:
        content = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        text = io.TextIOWrapper(content, encoding="utf-8")
        yield from csv.DictReader(text)


def unix(text: str) -> float:
    """ISO 8601, fractions of any length; UTC where no zone is given."""
    head, dot, fraction = text.strip().replace("Z", "+00:00").partition(".")
    moment = datetime.fromisoformat(head)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() + (float(f"0.{fraction}") if dot else 0.0)


def binned(found: Iterable[tuple[float, float]], step_s: int) -> tuple[dict[int, float], dict[int, int]]:
    """Sums and counts by bin number."""
    sums: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    for second, value in found:
        sums[int(second // step_s)] += value
        counts[int(second // step_s)] += 1
    return sums, counts


def on_grid(name: str, unit: str, step_s: int, columns: Mapping[str, Column], empty: float) -> WorkloadSeries:
    """`empty`: what a bin without a row is, 0 for counts and NaN for measurements."""
    bins = list(next(iter(columns.values())))
    first, last = min(bins), max(bins)
    values = np.full((last - first + 1, len(columns)), empty)
    for at, column in enumerate(columns.values()):
        for place, value in column.items():
            if first <= place <= last:
                values[place - first, at] = value
    return WorkloadSeries(name, unit, Panel(float(first * step_s), float(step_s), tuple(columns), values))


def means(sums: Mapping[int, float], counts: Mapping[int, int]) -> dict[int, float]:
    return {place: total / counts[place] for place, total in sums.items()}


def series_form(path: Path) -> WorkloadSeries:
    """A file of the series form; what is missing or empty is NaN. Raises `SystemExit` that says what is wrong."""
    try:
        found = read_trace(path)
    except InvalidRequest as error:
        raise SystemExit(error.message) from error
    if not isinstance(found, Counts):
        raise SystemExit(f"{path}: no series; expected timestamp,value")
    panel = Panel(found.start.timestamp(), found.step_s, ("value",), found.values[:, None])
    return WorkloadSeries(found.name, f"value per {found.step_s:g} s", panel)
