"""Agents against bare Ray actors: `python -m benchmarks.spawn --agents 200 --nodes 12 --out FILE.json`.

Both arms ask for the same CPUs an agent on a fresh cluster of the same nodes
(all on this machine) and have as many processes in start at once. They run one
after the other, in alternating order over `--repeat`.
A bare actor is up when it has answered a call; an agent when it has answered a
turn over its channel, model call included. Memory is PSS when all are up; then
nobody asks anything, and what each uses of the CPU is measured. The
exit code is 1 when an agent is missing or a ratio misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arms import run_arm
from benchmarks.import_costs import import_costs

TIME_RATIO = 1.3
MEMORY_RATIO = 1.25
REST_RATIO = 0.6
WARM_UP = "import ray._private.workers.default_worker, ossa.fleet.agent_actor, ossa.agent, ossa.fleet.controller_actor"


def with_bytecode(cache: Path) -> dict[str, str]:
    """The environment of an installed program: Python keeps the bytecode of what it imports.

    Without it (`PYTHONDONTWRITEBYTECODE`, a read-only installation) every process compiles Ray and all else again,
    which doubles the start of either arm.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPYCACHEPREFIX": str(cache)}


def run_one(arm: str, args: argparse.Namespace) -> dict[str, Any]:
    names = ("agents", "nodes", "cpus_per_node", "samples")
    options = [word for name in names for word in (f"--{name.replace('_', '-')}", getattr(args, name))]
    return run_arm(arm, "benchmarks.spawn_arms", (arm, *options), env=with_bytecode(Path(args.bytecode)))


def summarise(runs: list[dict[str, Any]], agents: int) -> dict[str, Any]:
    """Medians by arm, and the fleet's over the bare actors'."""
    arms = {arm: [run for run in runs if run["arm"] == arm] for arm in ("fleet", "bare")}
    seconds = {arm: statistics.median(run["seconds"] for run in found) for arm, found in arms.items()}
    memory = {arm: statistics.median(run["pss_mib_per_agent"]["mean"] for run in found) for arm, found in arms.items()}
    rest = {arm: statistics.median(run["rest_ms_per_s"] for run in found) for arm, found in arms.items()}
    time_ratio = seconds["fleet"] / seconds["bare"]
    memory_ratio = memory["fleet"] / memory["bare"]
    up = min(run["agents_up"] for run in runs)
    return {
        "agents_up": up,
        "seconds": seconds["fleet"],
        "pss_mib_per_agent": memory["fleet"],
        "bare_seconds": seconds["bare"],
        "bare_pss_mib_per_actor": memory["bare"],
        "time_ratio": round(time_ratio, 3),
        "memory_ratio": round(memory_ratio, 3),
        "rest_ms_per_s": rest["fleet"],
        "bare_rest_ms_per_s": rest["bare"],
        "rest_ratio": round(rest["fleet"] / rest["bare"], 3),
        "standby_assign_ms": arms["fleet"][-1].get("standby_assign_ms"),
        "kill_to_ready_ms": arms["fleet"][-1].get("kill_to_ready_ms"),
        "passed": up == agents
        and time_ratio <= TIME_RATIO
        and memory_ratio <= MEMORY_RATIO
        and rest["fleet"] / rest["bare"] <= REST_RATIO,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--cpus-per-node", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1, help="times each arm is run")
    parser.add_argument("--samples", type=int, default=50, help="standbys assigned; a fifth as many agents killed")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bytecode-") as cache:
        args.bytecode = cache
        subprocess.run([sys.executable, "-c", WARM_UP], check=True, env=with_bytecode(Path(cache)))
        report, summary = measure(args)
    text = json.dumps(report, indent=2)
    if args.out:
        args.out.write_text(text + "\n")
    print(json.dumps(summary, indent=2))
    return 0 if summary["passed"] else 1


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """All arms; the whole report and its summary."""
    runs: list[dict[str, Any]] = []
    for number in range(args.repeat):
        order = ("bare", "fleet") if number % 2 == 0 else ("fleet", "bare")
        for arm in order:
            runs.append(run_one(arm, args))
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    summary = summarise(runs, args.agents)
    report = {
        **summary,
        "n": args.repeat,
        "targets": {"time_ratio": TIME_RATIO, "memory_ratio": MEMORY_RATIO, "rest_ratio": REST_RATIO},
        "agents": args.agents,
        "nodes": args.nodes,
        "cpus_per_node": args.cpus_per_node,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "imports": import_costs(with_bytecode(Path(args.bytecode))),
        "runs": runs,
    }
    return report, summary


if __name__ == "__main__":
    sys.exit(main())
