"""How well load is forecast: `python -m benchmarks.forecast --data DIR --out FILE.json`.

Every file of `DATA/workload` that is a series, 1, 5 and 15 steps ahead from each origin of its second half. Ours
(`ossa`) beside persistence, seasonal naive, exponential smoothing and gradient boosting with default settings, over
the same origins and fitted on the same past. The first half is learned from; models are fitted again at four rows of
the second, on what lies before, the latest 8,000 rows at most; blends and bands learn from each value once it is
known. Nothing is chosen by what comes later. `series` in the figures says column and bin; a bin that was not measured
is not scored.

`--file FILE` takes the series form (`timestamp,value`) instead. `--first-halves` cuts every series in half before all
else: what design choices were made on. The exit code is 1 when an aim is missed. One core, about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.forecasting import baselines, ours
from benchmarks.forecasting.aims import OURS, aims, series_results
from benchmarks.forecasting.origins import origins
from benchmarks.forecasting.scores import Result, score
from benchmarks.forecasting.showing import show
from benchmarks.workload.open_sets import open_series
from benchmarks.workload.series import WorkloadSeries, series_form
from ossa.scaling.forecast.experts import shifted_back

HORIZONS = (1, 5, 15)
FEWEST_STEPS = 120


def measure(series: list[WorkloadSeries]) -> tuple[list[Result], list[str]]:
    results: list[Result] = []
    skipped = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(series) * len(HORIZONS) * (len(baselines.METHODS) + 1))
        for one in series:
            progress.update(task, description=one.name)
            for horizon in HORIZONS:
                found = of_horizon(one, horizon, lambda: progress.advance(task))
                results += found
                if not found:
                    skipped.append(f"{one.name}, {horizon} steps: too short, or nothing but 0 to forecast")
    return results, skipped


def of_horizon(one: WorkloadSeries, horizon: int, advance: Any) -> list[Result]:
    panel = one.panel
    if len(panel) < FEWEST_STEPS:
        for _ in range(len(baselines.METHODS) + 1):
            advance()
        return []
    at = origins(len(panel))
    values = panel.values[:, 0]
    actual = shifted_back(values, horizon)[at.start : at.end]
    found = [score(one.name, OURS, horizon, actual, ours.replayed(panel, horizon, at))]
    advance()
    for name, method in baselines.METHODS.items():
        forecasts = baselines.with_quantiles(method(panel, horizon, at), values, horizon, at)
        found.append(score(one.name, name, horizon, actual, forecasts))
        advance()
    return [result for result in found if result is not None]


def first_half(one: WorkloadSeries) -> WorkloadSeries:
    return WorkloadSeries(one.name, one.unit, one.panel.until(len(one.panel) // 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--file", type=Path, help="a series in the series form instead of the open ones")
    parser.add_argument("--only", nargs="+", help="series whose name has one of these words")
    parser.add_argument("--first-halves", action="store_true", help="look at no second half")
    parser.add_argument("--out", type=Path, help="write the figures here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--all", action="store_true", help="print each method and horizon too")
    args = parser.parse_args()
    series = [series_form(args.file)] if args.file else list(open_series(args.data))
    if args.only:
        series = [one for one in series if any(word in one.name for word in args.only)]
    if args.first_halves:
        series = [first_half(one) for one in series]
    began, used = time.monotonic(), time.process_time()
    results, skipped = measure(series)
    if not results:
        raise SystemExit("nothing to score: " + "; ".join(skipped or ["no series"]))
    per_series = series_results(results)
    asked = aims(per_series)
    units = {
        one.name: {"unit": one.unit, "steps": len(one.panel), "not_known": int(np.isnan(one.panel.values[:, 0]).sum())}
        for one in series
    }
    found: dict[str, Any] = {
        "results": [one.as_json() for one in results],
        "series": [one.as_json() for one in per_series],
        "aims": [vars(one) for one in asked],
        "units": units,
        "skipped": skipped,
        "seconds": {"wall": round(time.monotonic() - began, 1), "cpu": round(time.process_time() - used, 1)},
    }
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1)) if args.json else show(found, every=args.all or bool(args.file))
    sys.exit(0 if all(one.met for one in asked) else 1)


if __name__ == "__main__":
    main()
