"""What is still there after compression: `python -m benchmarks.compression --data DIR --out FILE.json`.

Each set at each reduction by each method, all in one run; or `--file FILE` in the context form (JSONL, plain or
gzipped: `id`, `kind`, `content`, `question`, `must_keep`, `answers`). `reduction` is what was reached, over the
tokens of the whole set. Of sets that a model was trained on, the held-out half alone is measured
(`benchmarks.context.halves`; `held_out` in the results). The exit code is 1 when a bar at 85% is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.context.halves import TRAINED_ON, held_out
from benchmarks.context.headroom import Headroom
from benchmarks.context.measure import interval, kept
from benchmarks.context.methods import METHODS, Method, ours
from benchmarks.context.problem import Problem, read_file
from benchmarks.context.reader import reader
from benchmarks.context.sets import SETS
from ossa.vortex.tokens import counter_for

REDUCTIONS = (0.5, 0.7, 0.85, 0.92)
BARS = {
    "holmes": 0.95,
    "taubench": 0.97,
    "kv75": 1.0,
    "nq20": 0.98,
    "qmsum": 0.60,
    "hotpotqa": 0.85,
    "sweagent": 0.95,
}
NOT_RUN = {
    "llmlingua": "its token classifiers and language models are downloads; no package carries their weights",
}
SPEED_TOKENS = 1000
"""Speed is told of contents of at least so many tokens: below, it is the call's own cost."""


def run(
    name: str, method: str, problems: list[Problem], target: float | None, how: Method | None = None
) -> dict[str, Any]:
    """One row of the results. `target` None: the method takes none."""
    counter = counter_for()
    values: list[float] = []
    before = after = 0
    milliseconds: list[float] = []
    for problem in problems:
        tokens = counter.count(problem.content)
        began = time.perf_counter()
        text = (how or METHODS[method])(problem, target or 0.0)
        took = (time.perf_counter() - began) * 1000
        if tokens >= SPEED_TOKENS:
            milliseconds.append(took / tokens * 1000)
        values += kept(problem, text)
        before += tokens
        after += counter.count(text)
    low, high = interval(values)
    ordered = sorted(milliseconds) or [float("nan")]
    return {
        "set": name,
        "method": method,
        "n": len(values),
        "problems": len(problems),
        "held_out": name in TRAINED_ON,
        "reduction_target": target,
        "reduction": round(1 - after / before, 4) if before else 0.0,
        "kept": round(statistics.fmean(values), 4) if values else None,
        "kept_low": round(low, 4),
        "kept_high": round(high, 4),
        "reader_accuracy": None,
        "ms_per_1k_p50": round(statistics.median(ordered), 3) if milliseconds else None,
        "ms_per_1k_p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3) if milliseconds else None,
    }


def read(problems: list[Problem], rows: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """Reader accuracy of the full context and of each method at 85%, on the same problems; goes into the rows."""
    chosen = [problem for problem in problems if problem.answers][:count]
    at_85 = {row["method"]: row for row in rows if row["reduction_target"] == 0.85}
    found: dict[str, Any] = {"n": len(chosen)}
    with reader() as model, Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("reading", total=len(chosen) * (len(at_85) + 1))
        for method in ("full context", *at_85):
            right = []
            for problem in chosen:
                text = METHODS[method](problem, 0.85) if method in METHODS else problem.content
                right.append(float(model.right(problem, text)))
                progress.advance(bar)
            low, high = interval(right)
            found[method] = {"accuracy": statistics.fmean(right), "low": round(low, 3), "high": round(high, 3)}
            if method in at_85:
                at_85[method]["reader_accuracy"] = statistics.fmean(right)
    return found


def largest_reduction(name: str, problems: list[Problem], bar: float) -> float | None:
    """The largest of a ladder of targets at which the bar is met, as reached; None when it is met at none."""
    for target in (0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2):
        row = run(name, "ossa", problems, target)
        if row["kept"] is not None and row["kept"] >= bar:
            return float(row["reduction"])
    return None


def load(args: argparse.Namespace) -> dict[str, list[Problem]]:
    if args.file:
        return {args.file.name: read_file(args.file)}
    data = args.data or Path(os.environ.get("OSSA_DATA", "../shared/data"))
    if not (data / "context").is_dir():
        raise SystemExit(
            f"no data in {data}: give --data DIR (or OSSA_DATA) with context/ and incidents/, or --file FILE"
        )
    wanted = args.sets or list(SETS)
    found = {name: held_out(name, SETS[name](data)) for name in wanted}
    for problems in found.values():
        random.Random(args.seed).shuffle(problems)
        del problems[args.limit or len(problems) :]
    return found


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="kept, by set, method and reduction; *: of the held-out half")
    for column in ("set", "method", "target", "reached", "kept", "95%", "n", "ms/1k p50", "p99"):
        table.add_column(column, justify="left" if column in ("set", "method") else "right")
    for row in rows:
        table.add_row(
            f"{row['set']}{' *' if row['held_out'] else ''}",
            row["method"],
            "-" if row["reduction_target"] is None else f"{row['reduction_target']:.0%}",
            f"{row['reduction']:.1%}",
            "-" if row["kept"] is None else f"{row['kept']:.1%}",
            f"{row['kept_low']:.0%}-{row['kept_high']:.0%}",
            str(row["n"]),
            "-" if row["ms_per_1k_p50"] is None else f"{row['ms_per_1k_p50']:.1f}",
            "-" if row["ms_per_1k_p99"] is None else f"{row['ms_per_1k_p99']:.1f}",
        )
    Console().print(table)


def verdict(rows: list[dict[str, Any]], problems: dict[str, list[Problem]]) -> dict[str, Any]:
    """Each bar at 85%, met or not; where not, the largest reduction at which it is."""
    found: dict[str, Any] = {}
    for name, bar in BARS.items():
        at_85 = {r["method"]: r for r in rows if r["set"] == name and r["reduction_target"] == 0.85}
        if "ossa" not in at_85:
            continue
        row, floor = at_85["ossa"], at_85["ossa+floor"]
        met = row["kept"] is not None and row["kept"] >= bar
        found[name] = {
            "bar": bar,
            "kept_at_85": row["kept"],
            "met": met,
            "largest_reduction_at_bar": row["reduction"] if met else largest_reduction(name, problems[name], bar),
            "with_floor": {"reduction": floor["reduction"], "kept": floor["kept"]},
            "ahead_of_all_at_85": all(row["kept"] >= r["kept"] for r in at_85.values() if "ossa" not in r["method"]),
        }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with context/ and incidents/ (default: OSSA_DATA)")
    parser.add_argument("--file", type=Path, help="a file in the context form instead")
    parser.add_argument("--sets", nargs="*", choices=list(SETS))
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--reductions", nargs="*", type=float, default=list(REDUCTIONS))
    parser.add_argument("--limit", type=int, default=0, help="problems of each set, at most (0: all)")
    parser.add_argument("--headroom", action="store_true", help="also headroom-ai, in .venv-headroom")
    parser.add_argument("--reader", type=int, default=0, help="nq20 problems to have the embedded model read (0: none)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="the JSON on standard output instead of the table")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    problems = load(args)
    warm = next(iter(problems.values()))[:3]
    for problem in warm:
        ours(problem, 0.85)
    rows: list[dict[str, Any]] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("compressing", total=len(problems) * len(args.methods) * len(args.reductions))
        for name, found in problems.items():
            for target in args.reductions:
                for method in args.methods:
                    rows.append(run(name, method, found, target))
                    progress.advance(bar)
            if args.headroom:
                with Headroom() as headroom:
                    rows.append(run(name, "headroom-ai", found, None, headroom))
    bars = verdict(rows, problems) if {"ossa", "ossa+floor"} <= set(args.methods) else {}
    readers = {}
    if args.reader and "nq20" in problems:
        readers = read(problems["nq20"], [row for row in rows if row["set"] == "nq20"], args.reader)
    report = {
        "results": rows,
        "bars": bars,
        "reader": readers,
        "not_run": NOT_RUN,
        "tokens": counter_for().encoding,
        "seed": args.seed,
    }
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    if args.json:
        print(json.dumps(report))
    else:
        show(rows)
        for name, one in {**bars, **({"reader on nq20": readers} if readers else {})}.items():
            print(f"{name}: {json.dumps(one)}")
    return 0 if all(one["met"] for one in bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
