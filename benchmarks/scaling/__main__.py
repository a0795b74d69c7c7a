"""Fewer cold starts and fewer idle agents: `python -m benchmarks.scaling --data DIR --out FILE.json`.

Every series of arrivals in DIR/workload is played to one simulated pool under each policy: ours (the decision code of
production with a forecaster), its rules alone, a reactive autoscaler (70%, 60 s lag), seasonal naive, hybrid histogram
keep-alive (Shahrad et al. 2020), and an oracle that knows the trace. Same start-up times, nodes, bounds and first
agents for all. A task met a cold start when it found no free agent. Spawn accuracy is the share of minutes in which the
planned agents covered the mean need with at most 20% of it, or 2 agents, to spare.

`--file FILE` takes a series (`timestamp,value`) or events (`timestamp,duration_s,tokens_in,tokens_out`) instead. The
exit code is 1 when a claim is missed on any series.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scaling.comparing import compare, row, rules_of, trace_of
from benchmarks.scaling.forecasters import FORECASTERS
from benchmarks.scaling.judging import judge
from benchmarks.scaling.limits import most_accurate, steadiness
from benchmarks.scaling.series import bundled, from_file
from benchmarks.scaling.showing import show
from lab.traces.forms import Series


def chosen(args: argparse.Namespace) -> Iterator[Series]:
    """Raises `SystemExit` when there is nothing to play."""
    if args.file:
        try:
            yield from_file(args.file)
        except (OSError, ValueError, KeyError) as error:
            raise SystemExit(str(error)) from error
        return
    if not (args.data / "workload").is_dir():
        raise SystemExit(f"no workload in {args.data}: give --data DIR (or OSSA_DATA), or --file FILE")
    for series in bundled(args.data):
        if not args.series or series.name in args.series:
            yield series


def play(series: Series, args: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row a policy, and what is said of the series."""
    trace = trace_of(series, days=args.days, part=args.part, seed=args.seed)
    rows = []
    for name, outcome in compare(trace, FORECASTERS[args.forecaster]):
        rows.append(row(trace, name, outcome))
        print(f"{trace.name}: {name}", file=sys.stderr)
    needs = trace.needs()
    said = judge(rows, most_accurate(needs, rules_of(trace)), steadiness(needs))
    said["minutes"], said["thinned"] = len(needs), trace.thinned
    said["mean_need"], said["largest_need"] = round(float(needs.mean()), 1), round(float(needs.max()), 1)
    return rows, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--file", type=Path, help="a series or events of your own")
    parser.add_argument("--series", nargs="*", help="only these")
    parser.add_argument("--days", type=float, default=2.0, help="to play, at the end of a series; half of it at most")
    parser.add_argument("--part", choices=("test", "dev"), default="test", help="dev: what lies before, for settings")
    parser.add_argument("--forecaster", choices=tuple(FORECASTERS), default="smoothing")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the figures here")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    began = time.perf_counter()
    results: list[dict[str, Any]] = []
    series: list[dict[str, Any]] = []
    for one in chosen(args):
        rows, said = play(one, args)
        results += rows
        series.append(said)
    if not results:
        raise SystemExit("no series to play")
    result: dict[str, Any] = {
        "results": results,
        "series": series,
        "seconds": round(time.perf_counter() - began, 1),
        "verdict": {
            "fewer_than_every_baseline": all(one["fewer_than_every_baseline"] for one in series),
            "spawn_accuracy": all(one["spawn_accuracy_reached"] for one in series),
        },
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1)) if args.json else show(result)
    sys.exit(0 if all(result["verdict"].values()) else 1)


if __name__ == "__main__":
    main()
