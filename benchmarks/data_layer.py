"""The data layer on real servers: `python -m benchmarks.data_layer --data DIR --out FILE.json`.

Servers are started by `scripts.services` in a folder of their own. Each figure is of the project's own code, beside the
bare driver doing the same in the same run. Sections: journal, journal-ha, cache, cache-cluster, hits, events, memory,
vectors, footprint. Exit code 1 when a bar is missed; a section whose server is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.data.servers import Missing, services

JOURNAL_PER_S = 1_500.0
JOURNAL_P95_MS = 12.0
JOURNAL_RATIO = 0.8
CACHE_OPS_PER_S = 25_000.0
HITS = 0.942
EVENTS_PER_S = 5_000.0
EVENTS_LAG_MS = 45.0
POOL_TOTAL = 200


def journal(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.journal import compare

    with services("postgres") as made:
        dsn = made.address("postgres").dsn
        found = asyncio.run(compare(dsn, clients=args.clients, seconds=args.seconds, rounds=args.rounds))
    bars = {
        f"{JOURNAL_PER_S:g} steps/s": found["ossa_steps_per_s"] >= JOURNAL_PER_S,
        f"p95 of {JOURNAL_P95_MS:g} ms": found["ossa_p95_ms"] <= JOURNAL_P95_MS,
        f"{JOURNAL_RATIO:g} of the bare driver": found["ratio"] >= JOURNAL_RATIO,
    }
    return {**found, "bars": bars}


def journal_ha(args: argparse.Namespace) -> dict[str, Any]:
    """One synchronous standby; said beside the others, without a bar."""
    from benchmarks.data.journal import compare

    with services("postgres-ha") as made:
        dsn = made.address("postgres-ha").dsn
        return asyncio.run(compare(dsn, clients=args.clients, seconds=args.seconds, rounds=1))


def cache(args: argparse.Namespace, name: str = "redis") -> dict[str, Any]:
    from benchmarks.data.cache import compare

    with services(name) as made:
        address = made.address(name)
        found = asyncio.run(
            compare(address.dsn, address.hosts, callers=args.callers, seconds=args.seconds, rounds=args.rounds)
        )
    bars = {
        f"{CACHE_OPS_PER_S:g} operations/s": found["ossa_ops_per_s"] >= CACHE_OPS_PER_S,
        "no errors": not found["errors" if "errors" in found else "ossa_errors"],
    }
    return {**found, "bars": bars}


def cache_cluster(args: argparse.Namespace) -> dict[str, Any]:
    found = cache(args, "redis-cluster")
    del found["bars"]
    return found


def hits(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.popularity import TRACE, compare

    if not (args.data / TRACE).exists():
        raise Missing(f"no {TRACE} in {args.data}; name the folder by --data or OSSA_DATA")
    rows = compare(args.data)
    able = [row for row in rows if row["best_hits"] >= HITS]
    return {"rows": rows, "bars": {f"{HITS:.1%} of hits where Belady has them": _all(able, "ossa_hits", HITS)}}


def events(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.events import run

    with services("postgres") as made, services("kafka", members=3) as brokers:
        servers = brokers.address("kafka").dsn
        load = {"per_s": args.events_per_s, "seconds": args.events_seconds, "partitions": args.partitions}
        found = run(made.address("postgres").dsn, servers, **load)
    bars = {
        f"{EVENTS_PER_S:g} a second": found["per_s"] >= EVENTS_PER_S * 0.99 and not found["left_in_outbox"],
        f"mean lag below {EVENTS_LAG_MS:g} ms": found["lag_mean_ms"] < EVENTS_LAG_MS,
        "none lost, none out of order": not found["lost"] and not found["out_of_order"],
    }
    return {**found, "bars": bars}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.memories import by_tier

    with services("postgres", "redis") as made, tempfile.TemporaryDirectory() as folder:
        dsns = made.address("postgres").dsn, made.address("redis").dsn
        return {"rows": asyncio.run(by_tier(*dsns, Path(folder), items=args.items, recalls=args.recalls))}


def vectors(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.memories import vectors as compare

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(compare(Path(folder), count=args.vectors, queries=args.queries))


def footprint(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.footprint import count

    found = count(args.agents)
    bars = {
        "agents hold none": found["of_agents"] == 0,
        f"at most {POOL_TOTAL} in all": found["connections"] <= POOL_TOTAL,
    }
    return {**found, "bars": bars}


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "journal": journal,
    "journal-ha": journal_ha,
    "cache": cache,
    "cache-cluster": cache_cluster,
    "hits": hits,
    "events": events,
    "memory": memory,
    "vectors": vectors,
    "footprint": footprint,
}


def _all(rows: list[dict[str, Any]], name: str, bar: float) -> bool:
    return bool(rows) and all(row[name] >= bar for row in rows)


def show(results: dict[str, dict[str, Any]]) -> None:
    console = Console()
    for section, found in results.items():
        for row in found.get("rows", [found]):
            table = Table(*("what", "figure"), title=section, title_justify="left")
            for name, value in row.items():
                if name not in ("bars", "rows"):
                    table.add_row(name, str(value))
            console.print(table)
        for bar, met in found.get("bars", {}).items():
            console.print(f"  {bar}: {'met' if met else 'MISSED'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--clients", type=int, default=24, help="of the journal, each with one task at a time")
    parser.add_argument("--callers", type=int, default=256, help="of the cache")
    parser.add_argument("--seconds", type=float, default=8.0, help="a round of the journal and the cache")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events-per-s", type=float, default=EVENTS_PER_S)
    parser.add_argument("--events-seconds", type=float, default=60.0)
    parser.add_argument("--partitions", type=int, default=50, help="of the events' topic")
    parser.add_argument("--items", type=int, default=1_000, help="memories of each tier")
    parser.add_argument("--recalls", type=int, default=2_000)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in args.only:
        print(f"{name} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
        load = round(os.getloadavg()[0], 2)
        try:
            results[name] = {"load_before": load, **SECTIONS[name](args)}
        except Missing as missing:
            left_out[name] = str(missing)
            print(f"{name}: left out: {missing}", file=sys.stderr, flush=True)
    missed = [f"{name}: {bar}" for name, one in results.items() for bar, met in one.get("bars", {}).items() if not met]
    report = {"results": results, "left_out": left_out, "missed": missed}
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(results)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
