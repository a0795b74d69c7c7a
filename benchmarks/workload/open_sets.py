"""Every file of `DATA/workload` that is a series, with its column and bin."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.workload.series import WorkloadSeries, binned, means, on_grid, rows, unix

NAN = float("nan")
ALIBABA_STEP_S = 57
"""The trace's own step: all its timestamps are multiples of it from its first."""
MOST_COMPANIONS = 8


def open_series(data: Path) -> Iterator[WorkloadSeries]:
    """Of the files that are there, in a fixed order."""
    folder = data / "workload"
    if not folder.is_dir():
        raise SystemExit(f"no folder workload in {data}: give --data DIR (or OSSA_DATA), or --file FILE")
    for kind in ("code", "conv"):
        if (path := folder / f"azure_llm_2023_{kind}.csv.gz").exists():
            yield _azure_llm(path, f"azure_llm_{kind}")
    if (path := folder / "azure_functions_2019_invocations.csv.gz").exists():
        yield _azure_functions(path)
    yield from _alibaba(folder)
    if (path := folder / "alibaba_lora_requests_2024_first60pct.csv.gz").exists():
        yield _lora(path)
    if (path := folder / "nasa_http_1995-07_per_min.csv.gz").exists():
        yield _per_minute(path, "nasa_http", "minute", "requests")
    if (path := folder / "worldcup98_pre_tournament_per_min.csv.gz").exists():
        yield _per_minute(path, "worldcup98", "period", "count")
    if (path := folder / "nab_realAWSCloudwatch.csv.gz").exists():
        yield from _nab(path)


def _azure_llm(path: Path, name: str) -> WorkloadSeries:
    found = list(rows(path))
    seconds = [unix(row["TIMESTAMP"]) for row in found]
    columns = {"requests": binned([(second, 1.0) for second in seconds], 10)[0]}
    for column in ("ContextTokens", "GeneratedTokens"):
        pairs = [(second, float(row[column])) for second, row in zip(seconds, found, strict=True)]
        columns[column] = binned(pairs, 10)[0]
    return on_grid(name, "requests per 10 s", 10, columns, 0.0)


def _azure_functions(path: Path) -> WorkloadSeries:
    """Column: all functions' sum. Companions: the apps with the most invocations in the first half of the day."""
    total: dict[int, float] = defaultdict(float)
    apps: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    midnight = int(datetime(2019, 7, 1, tzinfo=UTC).timestamp()) // 60
    for row in rows(path):
        for minute in range(1, 1441):
            count = float(row[str(minute)] or 0)
            total[midnight + minute - 1] += count
            apps[row["app"]][midnight + minute - 1] += count
    noon = midnight + 720
    by_size = sorted(apps, key=lambda app: -sum(count for minute, count in apps[app].items() if minute < noon))
    columns = {"invocations": total} | {f"app_{app}": apps[app] for app in by_size[:MOST_COMPANIONS]}
    return on_grid("azure_functions", "invocations per minute", 60, columns, 0.0)


def _alibaba(folder: Path) -> Iterator[WorkloadSeries]:
    found: dict[str, dict[int, float]] = {}
    for name in ("qps", "queue_size", "queue_rt_ms", "e2e_latency_ms"):
        path = folder / f"alibaba_genai2026_{name}.csv.gz"
        if path.exists():
            pairs = [(float(row["timestamp_anon"]), float(row["value"])) for row in rows(path)]
            sums, counts = binned(pairs, ALIBABA_STEP_S)
            found[name] = dict(sums) if name == "qps" else means(sums, counts)
    path = folder / "alibaba_genai2026_gpu_duty_per_min.csv.gz"
    if path.exists():
        pairs = [(float(row["timestamp_anon"]), float(row["mean"])) for row in rows(path)]
        found["gpu_duty"] = means(*binned(pairs, ALIBABA_STEP_S))
    for name in found:
        columns = {name: found[name]} | {other: found[other] for other in found if other != name}
        kind = "sum" if name == "qps" else "mean"
        yield on_grid(f"alibaba_{name}", f"{kind} per {ALIBABA_STEP_S} s", ALIBABA_STEP_S, columns, NAN)


def _lora(path: Path) -> WorkloadSeries:
    found = [(unix(row["gmt_create"]), float(row["exec_time_seconds"] or 0)) for row in rows(path)]
    sums, counts = binned(found, 600)
    columns = {"requests": {place: float(count) for place, count in counts.items()}, "exec_time_s": sums}
    return on_grid("alibaba_lora", "requests per 10 minutes", 600, columns, 0.0)


def _per_minute(path: Path, name: str, when: str, what: str) -> WorkloadSeries:
    sums, _ = binned(((unix(row[when]), float(row[what])) for row in rows(path)), 60)
    return on_grid(name, "requests per minute", 60, {"requests": sums}, 0.0)


def _nab(path: Path) -> Iterator[WorkloadSeries]:
    """Measurements each 5 minutes; a bin with two of them has their mean, one without is NaN."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows(path):
        found[row["series"]].append((unix(row["timestamp"]), float(row["value"])))
    for name, pairs in found.items():
        yield on_grid(f"nab_{name}", "mean per 5 minutes", 300, {"value": means(*binned(pairs, 300))}, NAN)
