"""From an alert to the 200th answer: `python -m benchmarks.emergency --out FILE.json`.

A fleet of 40 real agents on a Ray cluster of 12 nodes (all on this machine) scales by itself. A critical alert reaches
its API; it is over when each of the 200 agents has answered a chat over HTTP. Arms, each on a fresh cluster:

    bare   as many bare Ray actors more, as many in start at once: what this machine can do at all
    cold   the fleet, with one standby and no forecast
    held   the fleet, with a forecast: for two days the same load came at the same minute of each hour, and a model was
           trained on that, so that it holds standbys for it; the alert comes at that minute

Agents run scripted models. `held` is told how long a cold agent takes by the slower of the other two arms, twice over,
as operators set it. The exit code is 1 when an agent is missing or `held` takes a minute or longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.arms import run_arm

if TYPE_CHECKING:
    from benchmarks.bench_fleet import BenchFleet
    from ossa.contracts.agent_spec import AgentSpec
    from ossa.sdk.client import Client

ARMS = ("bare", "cold", "held")
LIMIT_S = 60.0
DAYS = 2
BURST_MINUTES = 10
BUSY = 1.0
"""Turns at once in a burst, over the agents there shall be."""

LEAD_MIN = 20.0
"""From the history's end to the burst: a model is trained, the fleet of `held` started, and its standbys begun."""

MARGIN = 2.0
"""Standbys are begun so many times as early as the slower arm took: who has just started keeps two cores busy."""

SLOTS = 1
"""Turns at once of an agent whose manifest does not say."""

ANSWERS_AT_ONCE = 8
ASK_AGAIN_S = 0.5
GET_THERE_S = 900.0


def run_one(arm: str, args: argparse.Namespace) -> dict[str, Any]:
    names = ("before", "after", "nodes", "cpus_per_node", "agent_s", "lead_min")
    options = [word for name in names for word in (f"--{name.replace('_', '-')}", getattr(args, name))]
    return run_arm(arm, "benchmarks.emergency", ("--arm", arm, *options))


def bare(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.spawn_arms import cluster, run_bare
    from ossa.contracts.configuration import FleetSettings

    settings = FleetSettings()
    with cluster(args.nodes, args.cpus_per_node):
        run_bare(1, settings.cpus_per_agent, 1)  # the first worker of a node loads what the others find loaded
        found = run_bare(args.after - args.before, settings.cpus_per_agent, settings.start_parallelism)
    return {"agents_up": found["agents_up"], "seconds": found["seconds"]}


def fleet(arm: str, args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.spawn_arms import nodes_up
    from ossa.testing.models.server import ScriptedProcess

    with nodes_up(args.nodes, args.cpus_per_node) as made:
        os.environ["RAY_ADDRESS"] = made.address
        with tempfile.TemporaryDirectory() as home, ScriptedProcess() as upstream:
            return _scaled(arm, args, home, upstream)


def _scaled(arm: str, args: argparse.Namespace, home: str, upstream: Any) -> dict[str, Any]:
    from benchmarks.bench_fleet import BenchFleet

    scaling = {
        **{"mode": "on", "forecast": arm == "held", "rules": {"fleet_floor": args.before, "fleet_ceiling": args.after}},
        **{"start_up": {"agent_s": args.agent_s, "agents_per_node": agents_per_node(args)}},
    }
    with (
        BenchFleet(home, upstream, agents=args.before, fleet={"slots_per_agent": SLOTS}, scaling=scaling) as made,
        made.client() as client,
    ):
        burst, model = datetime.now(UTC), None
        if arm == "held":
            burst = (datetime.now(UTC) + timedelta(minutes=args.lead_min)).replace(second=0, microsecond=0)
            asyncio.run(write_history(made.dsn, burst, args))
            model = asyncio.run(train_model(made.dsn))
        made.deploy()
        while datetime.now(UTC) < burst:
            time.sleep(0.5)
        standbys, ready = standbys_up(made), len(client.agents.list(state="ready"))
        began = time.perf_counter()
        client.alert(for_s=120)
        answered = _answers(client, args.after, began)
        pools = client.pools.list()
        return {
            "agents_up": len(answered),
            **{"agents_before": args.before, "agents_ready_at_alert": ready, "standbys_held": standbys},
            **{"agent_s": args.agent_s, "model": model},
            "seconds": round(max(answered.values(), default=float("nan")), 2),
            "median_answer_s": round(statistics.median(answered.values()), 2),
            "pools": {pool.name: pool.ready for pool in pools},
            "late_s": round((datetime.now(UTC) - burst).total_seconds(), 1),
        }


async def write_history(dsn: str, burst: datetime, args: argparse.Namespace) -> None:
    """Two days in which each hour, at the burst's minute, `after` agents were busy for ten minutes and else none."""
    from ossa.contracts.configuration import Database
    from ossa.contracts.fleet import POOL_WEIGHTS
    from ossa.contracts.scaling import SAMPLE_S, PoolSample
    from ossa.fleet.operations import ratio
    from ossa.manifest import catalogue
    from ossa.stores.postgres import PostgresStores

    stores = PostgresStores(Database(), dsn)
    await stores.open()
    sizes = ratio(args.after, POOL_WEIGHTS)
    slots = {pool: _slots(specs) for pool, specs in catalogue().items()}
    now = datetime.now(UTC)
    at = datetime.fromtimestamp((now - timedelta(days=DAYS)).timestamp() // SAMPLE_S * SAMPLE_S, UTC)
    samples: list[PoolSample] = []
    while at < now:
        since = ((at - burst).total_seconds() - SAMPLE_S / 2) % 3600
        share = BUSY if since < BURST_MINUTES * 60 else 0.0
        samples += [
            PoolSample(
                **{"pool": pool, "at": at, "running": size * slots[pool] * share},
                **{"agents": size, "slots_per_agent": slots[pool]},
            )
            for pool, size in sizes.items()
        ]
        at += timedelta(seconds=SAMPLE_S)
    for first in range(0, len(samples), 5_000):
        await stores.scaling.add_samples(samples[first : first + 5_000])
    await stores.close()


async def train_model(dsn: str) -> str:
    """One fit with the default settings, live; what `jobs/train_spawn_predictor.py` does without the search."""
    from jobs.spawn_training.run import fleet_minutes
    from lab.forecasting.training import train
    from ossa.contracts.configuration import Database
    from ossa.contracts.scaling import HORIZONS_S
    from ossa.scaling.forecast.forecaster import STEP_S
    from ossa.stores.postgres import PostgresStores

    stores = PostgresStores(Database(), dsn)
    await stores.open()
    panel = await fleet_minutes(stores.scaling, days=DAYS + 1, pools=None)
    assert panel is not None
    model = train(panel, tuple(round(horizon_s / STEP_S) for horizon_s in HORIZONS_S), figures_too=False)
    digest = model.version.removeprefix("forecast-")
    record = await stores.routing.add_model("forecast", model.dump(), card=dict(model.card), digest=digest)
    await stores.routing.promote("forecast", record.version)
    await stores.close()
    return model.version


def agents_per_node(args: argparse.Namespace) -> int:
    from ossa.contracts.configuration import FleetSettings

    return int(args.cpus_per_node / FleetSettings().cpus_per_agent)


def seconds_an_agent(runs: Sequence[dict[str, Any]], args: argparse.Namespace) -> float:
    """Of a cold agent among as many as start at once, by the slower arm so far and `MARGIN`."""
    from ossa.contracts.scaling import StartUp

    default = StartUp()
    slowest = max((run["seconds"] for run in runs if run["arm"] != "held"), default=0.0)
    return round(MARGIN * slowest * default.agents_at_once / (args.after - args.before), 1) or default.agent_s


def _slots(specs: Sequence[AgentSpec]) -> float:
    """Turns at once of a pool's agents, mean."""
    return statistics.fmean(spec.limits.max_concurrent_requests or SLOTS for spec in specs)


def standbys_up(made: BenchFleet) -> int:
    """Started and free, by the fleet's own word."""
    headers = {"Authorization": f"Bearer {made.api_key}"}
    return int(httpx.get(f"{made.url}/api/v1/pools", headers=headers, timeout=10).json()["standby"])


def _answers(client: Client, count: int, began: float) -> dict[str, float]:
    """Seconds from the alert until each agent's own answer over HTTP, asked as soon as it is ready.

    Who gets none asks again, as a user would; nobody waits for another's answer.
    """
    from ossa.contracts.errors import OssaError

    answered: dict[str, float] = {}

    def ask(agent_id: str) -> None:
        try:
            client.chat(f"are you {agent_id}?", model=f"agent/{agent_id}")
        except OssaError as error:
            print(f"{agent_id}: {error.code}", file=sys.stderr, flush=True)
        else:
            answered.setdefault(agent_id, time.perf_counter() - began)

    asking: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(ANSWERS_AT_ONCE) as at_once:
        while len(answered) < count and time.perf_counter() - began < GET_THERE_S:
            for agent_id in [one for one, future in asking.items() if future.done()]:
                asking.pop(agent_id).result()  # what is no `OssaError` ends the benchmark
            with contextlib.suppress(OssaError):
                for agent in client.agents.list(state="ready"):
                    if agent.id not in answered and agent.id not in asking:
                        asking[agent.id] = at_once.submit(ask, agent.id)
            time.sleep(ASK_AGAIN_S)
    return answered


def summarise(runs: Sequence[dict[str, Any]], after: int) -> dict[str, Any]:
    arms = {arm: [run for run in runs if run["arm"] == arm] for arm in ARMS}
    seconds = {arm: statistics.median(run["seconds"] for run in found) for arm, found in arms.items() if found}
    up = min(run["agents_up"] for run in runs if run["arm"] != "bare")
    return {
        **{f"{arm}_seconds": value for arm, value in seconds.items()},
        "cold_ratio": round(seconds["cold"] / seconds["bare"], 3),
        "held_ratio": round(seconds["held"] / seconds["bare"], 3),
        "standbys_held": arms["held"][-1]["standbys_held"],
        "agents_ready_at_alert": arms["held"][-1]["agents_ready_at_alert"],
        "agents_up": up,
        "passed": up >= after and seconds["held"] < LIMIT_S,
    }


def show(summary: dict[str, Any], runs: Sequence[dict[str, Any]]) -> None:
    columns = (
        "arm",
        "agents_up",
        "agents_ready_at_alert",
        "standbys_held",
        "seconds",
        "median_answer_s",
        "load_before",
    )
    table = Table(
        "arm", "agents answering", "ready at the alert", "standbys", "seconds", "median answer, s", "load before"
    )
    for run in runs:
        table.add_row(*(str(run.get(column, "")) for column in columns))
    console = Console()
    console.print(table)
    console.print(
        f"to the last answer: cold {summary['cold_ratio']}, held {summary['held_ratio']} of the bare actors' time; "
        f"a minute is {'kept' if summary['passed'] else 'missed'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=int, default=40)
    parser.add_argument("--after", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--cpus-per-node", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--lead-min", type=float, default=LEAD_MIN, help="of `held`: minutes from its history to the burst"
    )
    parser.add_argument("--agent-s", type=float, help="what a cold agent takes; found from the arms before by default")
    parser.add_argument("--arm", choices=ARMS, help="this one alone, in this process")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.arm:
        args.out.write_text(json.dumps(bare(args) if args.arm == "bare" else fleet(args.arm, args)))
        return 0
    runs: list[dict[str, Any]] = []
    told = args.agent_s
    for _ in range(args.repeat):
        for arm in ARMS:
            args.agent_s = told or seconds_an_agent(runs, args)
            runs.append(run_one(arm, args))
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    summary = summarise(runs, args.after)
    report = {**summary, "n": args.repeat, "limit_s": LIMIT_S, "nodes": args.nodes, "runs": runs}
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(summary, runs)
    return 0 if summary["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
