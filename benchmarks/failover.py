"""What users feel when a store dies: `python -m benchmarks.failover --out FILE.json`.

Real servers, SIGKILL, real load.

    postgres    three members under Patroni, one synchronous standby; the leader's postmaster is killed under load
    redis       a cluster of three masters and six replicas; a master is killed while clients read and write
    kafka       three brokers, each also a controller; one after the other is killed, so the active controller too
    kafka-away  all three are killed, and come back after `--kafka-away-s` seconds; tasks go on meanwhile
    away        a whole fleet; PostgreSQL, Redis and Kafka are all stopped for `--away-s` seconds, and come back

Exit code 1 when an acknowledged write, an accepted task or an event was lost, or a cache's user saw an error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.data.servers import Missing, services


def postgres(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.killed_postgres import kill_leader

    with services("postgres-ha") as made:
        found = asyncio.run(kill_leader(made, clients=args.clients, kills=args.kills))
    return {**found, "bars": {"acknowledged writes lost: 0": not found["lost"] and not found["twice"]}}


def redis(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.killed_redis import kill_master

    with services("redis-cluster") as made:
        found = asyncio.run(kill_master(made, callers=args.clients, seconds=args.seconds))
    return {**found, "bars": {"errors seen by users: 0": not found["errors"] and not found["wrong"]}}


def kafka(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.killed_kafka import kill_brokers

    with services("postgres") as made, services("kafka", members=3) as brokers:
        found = asyncio.run(kill_brokers(made.address("postgres").dsn, brokers, per_s=args.events_per_s))
    return {**found, "bars": {"none lost, none out of order": not found["lost"] and not found["out_of_order"]}}


def kafka_away(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data import killed_kafka

    with services("postgres") as made, services("kafka", members=3) as brokers:
        dsn, away_s = made.address("postgres").dsn, args.kafka_away_s
        found = asyncio.run(killed_kafka.kafka_away(dsn, brokers, per_s=args.events_per_s, away_s=away_s))
    return {
        **found,
        "bars": {
            "none lost, none out of order": not found["lost"] and not found["out_of_order"],
            "it recovers by itself": found["caught_up_s"] is not None,
        },
    }


def away(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.data.all_away import all_away

    with services("postgres", "redis") as made, services("kafka") as brokers:
        found = all_away(made, brokers, agents=args.agents, away_s=args.away_s)
    bars = {
        "accepted tasks lost: 0": not found["lost"],
        "every refusal says what is away": not found["unclear"],
        "it recovers by itself": found["answers_again_s"] is not None,
    }
    return {**found, "bars": bars}


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "postgres": postgres,
    "redis": redis,
    "kafka": kafka,
    "kafka-away": kafka_away,
    "away": away,
}


def show(results: dict[str, dict[str, Any]]) -> None:
    console = Console()
    for section, found in results.items():
        table = Table("what", "figure", title=section, title_justify="left")
        for name, value in found.items():
            if name != "bars":
                table.add_row(name, str(value))
        console.print(table)
        for bar, met in found["bars"].items():
            console.print(f"  {bar}: {'met' if met else 'MISSED'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--kills", type=int, default=3, help="of a PostgreSQL leader, one after the other")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load after a Redis master was killed")
    parser.add_argument("--events-per-s", type=float, default=300.0)
    parser.add_argument("--kafka-away-s", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--away-s", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in args.only:
        load = round(os.getloadavg()[0], 2)
        print(f"{name} (load {load})", file=sys.stderr, flush=True)
        try:
            results[name] = {"load_before": load, **SECTIONS[name](args)}
        except Missing as missing:
            left_out[name] = str(missing)
            print(f"{name}: left out: {missing}", file=sys.stderr, flush=True)
    missed = [f"{name}: {bar}" for name, one in results.items() for bar, met in one["bars"].items() if not met]
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
