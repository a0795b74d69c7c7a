"""What a decision over a Serve handle takes: `python -m benchmarks.route_serve --data DIR [--out FILE.json]`.

The deployment `router` over a fleet of 250 agents with a manifest each (it needs no processes behind them), and a
deployment that does nothing, asked by handle in the same shape: both at 50 requests/s, each request at its time
whether or not the one before was answered, in turns, round by round. Latency is from the time a request was due to
its answer. Ratios are of medians over the rounds; the machine is shared, so only they and the no-op beside the figure
say much. The exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import serve
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.route_latency import TIERS, descriptions, snapshot
from benchmarks.routing.sets import TOOLE, clinc150
from lab.routing.forms import read_csv
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.routing import Decided, RoutingPolicy
from ossa.contracts.task import TaskRequest
from ossa.gateway.core import GatewayCore
from ossa.gateway.deployment import GatewayBuild
from ossa.gateway.router_deployment import DEPLOYMENT, router_application
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores

AGENTS = 250
RATE = 50
P99_BAR_MS = 10.0
RATIO_BAR = 1.3
TENANT = "benchmark"
ROUTER, NO_OP = "router", "no-op"

Ask = Callable[[str], Awaitable[object]]


class NoOp:
    """Takes and gives what the router does, and looks at none of it."""

    async def route(self, requests: Sequence[TaskRequest], tenant: str) -> list[Decided]:
        return [Decided() for _ in requests]


class Build:
    """Builds a replica over a fleet in memory."""

    def __init__(self, told: Sequence[str]) -> None:
        self._told = list(told)

    async def __call__(self, sidecars: Mapping[str, Any]) -> GatewayBuild:
        stores = MemoryStores()
        await stores.routing.save_policy("*", RoutingPolicy(models="cheapest", dearer=True))
        fleet = FakeFleet(snapshot(self._told).agents)
        core = GatewayCore(settings=GatewaySettings(), stores=stores, fleet=fleet, link=FakeLink(), tiers=TIERS)
        return GatewayBuild(core)


def deploy(told: Sequence[str]) -> dict[str, Ask]:
    serve.run(router_application(Build(told), replicas=1), name=ROUTER, route_prefix=None)
    options: dict[str, Any] = {"name": "no-op", "ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 64}
    serve.run(serve.deployment(**options)(NoOp).bind(), name=NO_OP, route_prefix=None)
    handles = {
        ROUTER: serve.get_deployment_handle(DEPLOYMENT, ROUTER),
        NO_OP: serve.get_deployment_handle("no-op", NO_OP),
    }

    def asking(handle: Any) -> Ask:
        async def ask(text: str) -> object:
            request = TaskRequest(messages=[{"role": "user", "content": text}])
            return (await handle.route.remote([request], TENANT))[0]

        return ask

    return {name: asking(handle) for name, handle in handles.items()}


async def at_rate(ask: Ask, texts: Sequence[str], rate: float) -> list[float]:
    """Milliseconds of each request, from the time it was due."""
    began = time.perf_counter() + 0.05

    async def one(number: int, text: str) -> float:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await ask(text)
        return (time.perf_counter() - due) * 1000

    return await asyncio.gather(*(one(number, text) for number, text in enumerate(texts)))


async def measure(ways: dict[str, Ask], texts: Sequence[str], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """All latencies by way; the order of the ways turns."""
    count = int(RATE * seconds)
    names = list(ways)
    for name in names:
        await at_rate(ways[name], texts[:count], RATE)
    decided = await ways[ROUTER](texts[0])
    assert isinstance(decided, Decided)
    assert decided.route is not None, decided.error
    assert decided.route.router != "rules"
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in track(range(rounds), "asking", console=Console(stderr=True)):
        asked = [texts[(number * count + at) % len(texts)] for at in range(count)]
        for turn in range(len(names)):
            name = names[(number + turn) % len(names)]
            taken[name].append(0.0)  # marks the round
            taken[name] += await at_rate(ways[name], asked, RATE)
    return taken


def summed(taken: list[float], rounds: int) -> dict[str, Any]:
    size = len(taken) // rounds
    parts = [sorted(taken[at * size + 1 : (at + 1) * size]) for at in range(rounds)]
    whole = sorted(value for part in parts for value in part)
    return {
        "n": len(whole),
        "p50_ms": round(statistics.median(whole), 3),
        "p99_ms": round(whole[int(len(whole) * 0.99)], 3),
        "p50_by_round_ms": [round(statistics.median(part), 3) for part in parts],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way in a round")
    parser.add_argument("--json", action="store_true", help="the JSON on standard output instead of the table")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not (args.data / TOOLE).exists():
        raise SystemExit(f"no {TOOLE} in {args.data}: give --data DIR (or OSSA_DATA)")
    load = round(os.getloadavg()[0], 2)
    texts = [row["query"] for row in read_csv(args.data / TOOLE)] + [one.text for one in clinc150(args.data).test]
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        ways = deploy(descriptions(args.data, AGENTS))
        taken = asyncio.run(measure(ways, texts, rounds=args.rounds, seconds=args.seconds))
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()
    arms = {name: summed(found, args.rounds) for name, found in taken.items()}
    ratios = [
        ours / floor
        for ours, floor in zip(arms[ROUTER]["p50_by_round_ms"], arms[NO_OP]["p50_by_round_ms"], strict=True)
    ]
    found = {
        "results": arms,
        "agents": AGENTS,
        "requests_per_s": RATE,
        "ratio_to_no_op": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "load_before": load,
    }
    met = found["ratio_to_no_op"] <= RATIO_BAR and arms[ROUTER]["p99_ms"] < P99_BAR_MS
    found["met"] = met
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(found))
    else:
        table = Table(title=f"a decision over {AGENTS} agents by handle, {RATE} requests/s")
        for column in ("", "n", "p50 ms", "p99 ms"):
            table.add_column(column, justify="right")
        for name, arm in arms.items():
            table.add_row(name, str(arm["n"]), f"{arm['p50_ms']:.2f}", f"{arm['p99_ms']:.2f}")
        console = Console(width=100)
        console.print(table)
        console.print(
            f"router beside no-op: {found['ratio_to_no_op']} ({found['ratio_spread']}); load before {load}; "
            f"p99 < {P99_BAR_MS:g} ms and ratio <= {RATIO_BAR}: {'met' if met else 'missed'}"
        )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
