"""The workload sets as counts or events, each by its own form, and the canonical forms of `--file`."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lab.traces.forms import CALL_S, Counts, Events, Series, read_trace, turn_seconds
from ossa.contracts.errors import InvalidRequest


def bundled(data: Path) -> Iterator[Series]:
    """Every series of arrivals in DIR/workload that is there."""
    for name, (file, read) in SETS.items():
        path = data / "workload" / file
        if path.exists():
            yield read(name, path)


def from_file(path: Path) -> Series:
    """Series form or events form. A step without a value counts nothing; a turn of which nothing is known takes a call.

    Raises `ValueError` that says where the file is wrong.
    """
    try:
        found = read_trace(path)
    except InvalidRequest as error:
        raise ValueError(error.message) from error
    if isinstance(found, Counts):
        return replace(found, values=np.nan_to_num(found.values))
    return replace(found, durations=np.nan_to_num(found.durations, nan=CALL_S))


def _azure_llm(name: str, path: Path) -> Series:
    rows = _rows(path)
    durations = [turn_seconds(float(row["ContextTokens"]), float(row["GeneratedTokens"])) for row in rows]
    return _events(name, [_time(row["TIMESTAMP"]) for row in rows], durations)


def _lora(name: str, path: Path) -> Series:
    rows = [row for row in _rows(path) if row["exec_time_seconds"]]
    durations = [max(0.01, float(row["exec_time_seconds"])) for row in rows]
    return _events(name, [_time(row["gmt_create"]) for row in rows], durations)


def _azure_functions(name: str, path: Path) -> Series:
    """All functions' calls a minute; the set says a day in July 2019 without a date."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        values = np.sum([[float(value) for value in line[2:]] for line in lines], axis=0)
    return Counts(name, datetime(2019, 7, 15, tzinfo=UTC), 60.0, values)


def _alibaba_qps(name: str, path: Path) -> Series:
    """Requests/s summed over containers, by the 57 s between samples, filled in where none was taken; a shape only."""
    rows = _rows(path)
    first = min(int(row["timestamp_anon"]) for row in rows)
    steps = [(int(row["timestamp_anon"]) - first) // 57 for row in rows]
    sums = np.bincount(steps, weights=[float(row["value"]) * 57.0 for row in rows])
    there = np.unique(steps)
    values = np.interp(np.arange(len(sums)), there, sums[there])
    return Counts(name, datetime.fromtimestamp(first, UTC), 57.0, values)


def _nab_elb(name: str, path: Path) -> Series:
    rows = [row for row in _rows(path) if row["series"].startswith("elb_request_count")]
    return _counts(name, rows, "timestamp", "value")


def _per_minute(time: str, value: str) -> Callable[[str, Path], Series]:
    return lambda name, path: _counts(name, _rows(path), time, value)


SETS: dict[str, tuple[str, Callable[[str, Path], Series]]] = {
    "azure_llm_code": ("azure_llm_2023_code.csv.gz", _azure_llm),
    "azure_llm_conv": ("azure_llm_2023_conv.csv.gz", _azure_llm),
    "azure_functions": ("azure_functions_2019_invocations.csv.gz", _azure_functions),
    "alibaba_genai": ("alibaba_genai2026_qps.csv.gz", _alibaba_qps),
    "alibaba_lora": ("alibaba_lora_requests_2024_first60pct.csv.gz", _lora),
    "nasa_http": ("nasa_http_1995-07_per_min.csv.gz", _per_minute("minute", "requests")),
    "worldcup98": ("worldcup98_pre_tournament_per_min.csv.gz", _per_minute("period", "count")),
    "nab_elb": ("nab_realAWSCloudwatch.csv.gz", _nab_elb),
}


def _rows(path: Path) -> list[dict[str, str]]:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text[:26])
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _counts(name: str, rows: list[dict[str, str]], time: str, value: str) -> Counts:
    """Steps that are missing count nothing."""
    times = [_time(row[time]) for row in rows]
    gaps = np.diff([one.timestamp() for one in times])
    step = float(np.median(gaps)) if len(gaps) else 60.0
    if step <= 0:
        raise ValueError(f"{name}: timestamps do not rise")
    at = np.round((np.asarray([one.timestamp() for one in times]) - times[0].timestamp()) / step).astype(int)
    values = np.bincount(at, weights=np.asarray([max(0.0, float(row[value])) for row in rows]))
    return Counts(name, times[0], step, values.astype(float))


def _events(name: str, times: list[datetime], durations: list[float]) -> Events:
    start = min(times)
    return Events(
        name,
        start,
        np.asarray([(one - start).total_seconds() for one in times]),
        np.asarray(durations),
    )
