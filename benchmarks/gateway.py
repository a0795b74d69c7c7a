"""What the gateway adds to a model call, beside the official LiteLLM proxy.

    python -m benchmarks.gateway --out FILE.json [--seconds 6] [--rounds 3]

One fast scripted upstream, called directly, through the LiteLLM proxy (two
workers), and through the gateway to an agent (two replicas, journaling on,
PostgreSQL with fsync), at 1, 8 and 32 clients; and, to show whose time it is,
a no-op Serve deployment and a bare Ray actor hop behind Serve. All are up at
the same time and take turns, round by round; figures are medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.bench_fleet import BenchFleet
from benchmarks.litellm_proxy import KEY, LiteLLMProxy
from benchmarks.load import Load
from ossa.app.local_ray import free_port
from ossa.testing.models.server import MODEL, ScriptedProcess

CLIENTS = (1, 8, 32)
MESSAGE = "Say hello to the measured world in one short sentence."
P50_RATIO_TARGET = 0.7
RPS_RATIO_TARGET = 2.0
OURS, THEIRS, DIRECT = "ossa", "litellm", "direct"


def body(model: str) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": MESSAGE}], "max_tokens": 64}).encode()


Way = Callable[[int, float], Load]


def way(url: str, key: str, model: str | None) -> Way:
    """A way to call: clients, seconds -> what was seen."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    payload = body(model) if model else b""
    return lambda clients, seconds: load.run(url, clients=clients, seconds=seconds, headers=headers, body=payload)


def measure(ways: dict[str, Way], *, rounds: int, seconds: float) -> dict[str, dict[int, list[Load]]]:
    """Every way at every number of clients, `rounds` times, in an order that turns round by round."""
    seen: dict[str, dict[int, list[Load]]] = {name: {clients: [] for clients in CLIENTS} for name in ways}
    names = list(ways)
    for name in names:
        ways[name](8, 2.0)  # warm up
    for turn in range(rounds):
        for clients in CLIENTS:
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                result = ways[name](clients, seconds)
                seen[name][clients].append(result)
                print(
                    f"  round {turn + 1}/{rounds} {name:<8} {clients:>2} clients: {result.rps:>8.1f}/s "
                    f"p50 {result.p50_ms:>8.2f} ms  p99 {result.p99_ms:>8.2f}  "
                    f"errors {result.errors} {result.first_error}",
                    file=sys.stderr,
                )
    return seen


def summary(seen: dict[str, dict[int, list[Load]]]) -> dict[str, Any]:
    """Medians and spreads, what each way adds to the direct call, and ours over theirs."""
    figures: dict[str, Any] = {}
    for name, by_clients in seen.items():
        for clients, runs in by_clients.items():
            direct = statistics.median(run.p50_ms for run in seen[DIRECT][clients])
            figures.setdefault(name, {})[str(clients)] = {
                "rps": _spread([run.rps for run in runs]),
                "p50_ms": _spread([run.p50_ms for run in runs]),
                "p99_ms": _spread([run.p99_ms for run in runs]),
                "added_p50_ms": round(statistics.median(run.p50_ms for run in runs) - direct, 3),
                "requests": sum(run.requests for run in runs),
                "errors": sum(run.errors for run in runs),
            }
    result: dict[str, Any] = {"ways": figures}
    if THEIRS in figures and OURS in figures:
        ours, theirs = figures[OURS], figures[THEIRS]
        result["added_p50_ratio_at_1"] = round(ours["1"]["added_p50_ms"] / theirs["1"]["added_p50_ms"], 3)
        result["rps_ratio_at_32"] = round(ours["32"]["rps"]["median"] / theirs["32"]["rps"]["median"], 3)
        result["errors"] = sum(ours[str(clients)]["errors"] for clients in CLIENTS)
        result["passed"] = (
            result["added_p50_ratio_at_1"] <= P50_RATIO_TARGET
            and result["rps_ratio_at_32"] >= RPS_RATIO_TARGET
            and result["errors"] == 0
        )
    return result


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "low": min(values), "high": max(values), "n": len(values)}


def print_table(result: dict[str, Any]) -> None:
    print(f"{'way':<10}{'clients':>8}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'added p50':>11}{'errors':>8}")
    for name, by_clients in result["ways"].items():
        for clients, row in by_clients.items():
            print(
                f"{name:<10}{clients:>8}{row['rps']['median']:>10.1f}{row['p50_ms']['median']:>10.2f}"
                f"{row['p99_ms']['median']:>10.2f}{row['added_p50_ms']:>11.2f}{row['errors']:>8}"
            )
    if "passed" in result:
        print(
            f"\nadded p50 at 1 client, ours / LiteLLM: {result['added_p50_ratio_at_1']} (aim <= {P50_RATIO_TARGET})\n"
            f"requests/s at 32 clients, ours / LiteLLM: {result['rps_ratio_at_32']} (aim >= {RPS_RATIO_TARGET})\n"
            f"errors: {result['errors']}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--agents", type=int, default=5)
    parser.add_argument("--without-litellm", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ossa-bench-") as home, ScriptedProcess() as upstream:
        result = _run(options, home, upstream)
    print_table(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result.get("passed", True) else 1


def _run(options: argparse.Namespace, home: str, upstream: ScriptedProcess) -> dict[str, Any]:
    with BenchFleet(home, upstream, agents=options.agents, replicas=options.replicas) as fleet:
        # Ray reads its environment when it is imported, which the fleet sets first.
        from benchmarks.serve_floor import deploy_floor

        fleet.deploy()
        deploy_floor()
        ways = {
            DIRECT: way(f"{upstream.base_url}/chat/completions", "", MODEL),
            OURS: way(f"{fleet.url}/v1/chat/completions", fleet.api_key, "pool/intelligence"),
            "no-op": way(f"{fleet.url}/floor/no-op", "", None),
            "hop": way(f"{fleet.url}/floor/hop", "", None),
        }
        if options.without_litellm:
            return summary(measure(ways, rounds=options.rounds, seconds=options.seconds))
        with LiteLLMProxy(upstream.base_url, MODEL, workers=2, port=free_port()) as proxy:
            ways[THEIRS] = way(proxy.url, KEY, MODEL)
            result = summary(measure(ways, rounds=options.rounds, seconds=options.seconds))
            result["litellm_version"] = proxy.version
    result["setup"] = {
        "cores": os.cpu_count(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "replicas": options.replicas,
        "agents": options.agents,
        "litellm_workers": 2,
    }
    return result


if __name__ == "__main__":
    sys.exit(main())
