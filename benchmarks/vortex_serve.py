"""What compressing over Serve costs beside compressing in one's own process.

    python -m benchmarks.vortex_serve --out FILE.json [--rounds 60] [--json]

Contents of 10,000 tokens (a log, a tool's JSON, prose), made from a seed and each new to whoever gets it, by
`ossa.vortex.compress` in this process on one thread, by the handle of the Serve deployment `vortex` and by HTTP
`POST /api/v1/compress`, originals kept in PostgreSQL with fsync; then the same order once more by handle and by HTTP,
and a content too small to be compressed, which is the way alone. All take turns in every round.

A round's time of a way is its mean over the kinds; ratios are of medians over the rounds. Where others work on the
machine, this process waits for a core for longer than a replica, which sleeps in between. So each way has two ratios:
to the wall time in process (`ratio`, too good on a busy machine) and to its CPU time (`ratio_to_cpu`, too bad on
one); on a quiet machine they agree. A target is met when the second meets it, and missed when the first misses it.
The exit code is 0 when all are met, 1 when one is missed, 2 when the machine was too busy to tell.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bench_fleet import BenchFleet
from benchmarks.context.made import KINDS, Made, made
from ossa.contracts.compression import CompressionOrder
from ossa.testing.models.server import ScriptedProcess

TOKENS = 10_000
RATIO_TARGET = 1.3
WARM_UP_ROUNDS = 3
WIDTH = 100
HERE, HANDLE, HTTP = "in process", "handle", "http"
AGAIN = {HANDLE: "handle, again", HTTP: "http, again"}
WAY_ALONE = {HANDLE: "handle, small", HTTP: "http, small"}
MET, MISSED, UNKNOWN = "met", "missed", "too busy to tell"
SMALL = "nothing to be left out"

Way = Callable[[Made], None]
Round = dict[str, float]
"""Kind -> milliseconds."""


@dataclass
class Seen:
    """Rounds by way, and the CPU time of those in process."""

    took: dict[str, list[Round]]
    cpu: list[Round]


def in_process() -> Way:
    from ossa.vortex import compress

    def call(order: Made) -> None:
        assert compress(order.content, order.question).tokens_before

    return call


def by_handle(runner: asyncio.Runner, application: str) -> Way:
    from ray import serve

    from ossa.gateway.sidecar import VORTEX

    remote = VORTEX.remote(serve.get_deployment_handle(VORTEX.name, application))

    def call(order: Made) -> None:
        asked = CompressionOrder(content=order.content, question=order.question)
        assert runner.run(remote.compress(asked, tenant="default")).tokens_before

    return call


def by_http(url: str, api_key: str) -> Way:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}

    def call(order: Made) -> None:
        body = json.dumps({"content": order.content, "question": order.question}).encode()
        connection.request("POST", "/api/v1/compress", body, headers)
        answer = connection.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {found[:300]!r}")
        assert json.loads(found)["tokens_before"]

    return call


def measure(ways: dict[str, Way], *, rounds: int, seed: int) -> Seen:
    """The first rounds are not counted; the order of the ways turns round by round."""
    names = list(ways)
    seen = Seen(took={name: [] for name in [*names, *AGAIN.values(), *WAY_ALONE.values()]}, cpu=[])
    for number, asked in enumerate(track(_orders(names, rounds, seed), "compressing", console=Console(stderr=True))):
        took: dict[str, Round] = {name: {} for name in seen.took}
        cpu: Round = {}
        for which, kind in enumerate(KINDS):
            for turn in range(len(names)):
                name = names[(number + turn) % len(names)]
                order = asked[name][which]
                began = time.thread_time()
                took[name][kind] = _milliseconds(ways[name], order)
                if name == HERE:
                    cpu[kind] = (time.thread_time() - began) * 1000
                else:
                    took[AGAIN[name]][kind] = _milliseconds(ways[name], order)
                    took[WAY_ALONE[name]][kind] = _milliseconds(ways[name], Made(kind, SMALL, ""))
        if number >= WARM_UP_ROUNDS:
            seen.cpu.append(cpu)
            for name, milliseconds in took.items():
                seen.took[name].append(milliseconds)
    return seen


def _orders(names: list[str], rounds: int, seed: int) -> list[dict[str, list[Made]]]:
    """Round -> way -> an order of each kind; no two are the same."""
    seeds = itertools.count(seed * 100_000)
    return [
        {name: [made(kind, TOKENS, next(seeds)) for kind in KINDS] for name in names}
        for _ in range(WARM_UP_ROUNDS + rounds)
    ]


def _milliseconds(way: Way, order: Made) -> float:
    began = time.perf_counter()
    way(order)
    return (time.perf_counter() - began) * 1000


def summary(seen: Seen) -> dict[str, Any]:
    """Figures of each way, its ratio to `HERE`, and whether the targets are met."""
    ways = {name: _figures(rounds) for name, rounds in seen.took.items()}
    wall_ms, cpu_ms = ways[HERE]["p50_ms"], _figures(seen.cpu)["p50_ms"]
    for figures in ways.values():
        figures["ratio"] = round(figures["p50_ms"] / wall_ms, 3)
        figures["ratio_to_cpu"] = round(figures["p50_ms"] / cpu_ms, 3)
    return {
        "ways": ways,
        "in_process_cpu_p50_ms": cpu_ms,
        "ratio_target": RATIO_TARGET,
        "verdict": {name: _verdict(ways[name]) for name in (HANDLE, HTTP)},
    }


def _verdict(figures: dict[str, Any]) -> str:
    if figures["ratio_to_cpu"] <= RATIO_TARGET:
        return MET
    return MISSED if figures["ratio"] > RATIO_TARGET else UNKNOWN


def _figures(rounds: list[Round]) -> dict[str, Any]:
    means = sorted(statistics.fmean(one.values()) for one in rounds)
    calls = sorted(milliseconds for one in rounds for milliseconds in one.values())
    quarter = len(means) // 4
    return {
        "p50_ms": round(statistics.median(means), 2),
        "quartiles_ms": [round(means[quarter], 2), round(means[-1 - quarter], 2)],
        "p10_ms": round(means[len(means) // 10], 2),
        "p99_ms": round(calls[min(len(calls) - 1, int(len(calls) * 0.99))], 2),
        "p50_ms_by_kind": {kind: round(statistics.median(one[kind] for one in rounds), 2) for kind in KINDS},
        "rounds": len(means),
        "n": len(calls),
    }


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"milliseconds a content of {TOKENS:,} tokens")
    for column in ("way", "p50", "quartiles", "p99", *KINDS, "n", "ratio", "to CPU"):
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    for name, row in report["ways"].items():
        low, high = row["quartiles_ms"]
        kinds = [f"{row['p50_ms_by_kind'][kind]:.0f}" for kind in KINDS]
        cells = [f"{row['p50_ms']:.1f}", f"{low:.0f}-{high:.0f}", f"{row['p99_ms']:.0f}", *kinds, str(row["n"])]
        table.add_row(name, *cells, f"{row['ratio']:.2f}", f"{row['ratio_to_cpu']:.2f}")
    Console(width=max(WIDTH, Console().width)).print(table)
    print(f"in process, CPU time: {report['in_process_cpu_p50_ms']} ms")
    for name, verdict in report["verdict"].items():
        row = report["ways"][name]
        print(f"{name}: {row['ratio']} to {row['ratio_to_cpu']} of in process (aim <= {RATIO_TARGET}): {verdict}")


def run(*, rounds: int, seed: int) -> dict[str, Any]:
    """On a fleet without agents: none is needed, and idle ones take their turns on the cores too."""
    with (
        tempfile.TemporaryDirectory(prefix="ossa-bench-") as home,
        ScriptedProcess() as upstream,
        BenchFleet(home, upstream, agents=1, standby=0) as fleet,
        asyncio.Runner() as runner,
    ):
        ways = {
            HERE: in_process(),
            HANDLE: by_handle(runner, fleet.settings.fleet.namespace),
            HTTP: by_http(fleet.url, fleet.api_key),
        }
        return summary(measure(ways, rounds=rounds, seed=seed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="the JSON on standard output instead of the table")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as Ray has it in a replica; read when numpy is first imported
    report = run(rounds=options.rounds, seed=options.seed)
    report["setup"] = {
        "cores": os.cpu_count(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "tokens": TOKENS,
        "rounds": options.rounds,
        "seed": options.seed,
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    verdicts = set(report["verdict"].values())
    return 1 if MISSED in verdicts else 2 if UNKNOWN in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
