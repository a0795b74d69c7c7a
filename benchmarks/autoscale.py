"""Nodes follow the load: `python -m benchmarks.autoscale --out FILE.json`.

Ray's own autoscaler (v2) over `cluster/ray-local.yaml`: a head without work and 1 to 12 nodes, each a real raylet on
this machine. A fleet on it scales by its rules alone. Clients keep more tasks open than it has agents; when all nodes
are up, one raylet is killed; when its place is filled the load ends. Arms, each in a process of its own:

    bare    as many raylets more, as many in start at once, started by hand: what this machine can do at all
    fleet   load -> agents -> nodes, and back

Agents run scripted models; each turn takes `--turn-s` seconds. The exit code is 1 when the nodes did not get there or
back, an accepted task has no answer, a node is left over, or the killed one was not replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.arms import run_arm

if TYPE_CHECKING:
    from ossa.nodes.local_cluster import ClusterStatus, LocalCluster
    from ossa.sdk.client import Client

ARMS = ("bare", "fleet")
PLAN = Path("cluster/ray-local.yaml")
POOLS = ("foundation", "security", "intelligence", "federation", "community")
CPUS_PER_AGENT = 1.5
AGENTS_PER_NODE = 5
"""Of 8 logical CPUs, so that few agents fill many nodes: what is measured are nodes."""

SLOTS = 4
"""Turns at once of an agent, as the catalogue's manifests have it."""

IDLE_S = 15.0
COOLDOWN_S = 20.0
GET_THERE_S = 600.0
LOOK_S = 2.0
ANSWER_S = 300.0
UNKNOWN = "unknown"
POLL_S = 20.0
"""Hundreds of clients ask."""


def run_one(arm: str, args: argparse.Namespace) -> dict[str, Any]:
    options = ("--arm", arm, "--nodes", args.nodes, "--turn-s", args.turn_s)
    return run_arm(arm, "benchmarks.autoscale", options)


def bare(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the second node's start until the last one is up, without an autoscaler."""
    import ray
    from ray.cluster_utils import Cluster

    from ossa.nodes.plan import read_plan
    from ossa.nodes.raylet import RayletStarter
    from ossa.nodes.run_folder import NodeRecord

    plan = read_plan(PLAN)
    resources = {name: float(size) for name, size in plan.worker.resources.items()}
    tags = {"type": plan.worker_type}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}, connect=True)
    records: list[NodeRecord] = []
    with tempfile.TemporaryDirectory(prefix="nodes") as folder:
        starter = RayletStarter(made.address, temp_dir=Path(folder), logs=Path(folder), node_type_tag="type")

        def start(number: int) -> None:
            records.append(starter.start(f"n{number}", resources=resources, labels={}, tags=tags))
            starter.wait(records[-1])

        try:
            start(0)
            began = time.perf_counter()
            with ThreadPoolExecutor(plan.provider.starts_at_once) as threads:
                list(threads.map(start, range(1, args.nodes)))
            up_s = time.perf_counter() - began
            up = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())  # type: ignore[no-untyped-call]
            return {"nodes": up, "up_s": round(up_s, 1)}
        finally:
            starter.end(records)
            ray.shutdown()
            made.shutdown()  # type: ignore[no-untyped-call]


def fleet(args: argparse.Namespace) -> dict[str, Any]:
    from ossa.contracts.configuration import GatewaySettings
    from ossa.nodes.local_cluster import LocalCluster
    from ossa.nodes.plan import read_plan
    from ossa.nodes.run_folder import marked

    with tempfile.TemporaryDirectory() as home:
        cluster = LocalCluster(Path(home), gateway=GatewaySettings(), progress=_progress)
        plan = read_plan(PLAN).bounded(least=1, most=args.nodes, idle_timeout_s=IDLE_S)
        run = cluster.up(plan)
        os.environ["RAY_ADDRESS"] = run.address
        try:
            found = _followed(cluster, home, args)
        finally:
            cluster.down()
        left = [process.pid for process in marked(run.run)]
        return {**found, "processes_left": len(left)}


def _followed(cluster: LocalCluster, home: str, args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.bench_fleet import BenchFleet
    from ossa.testing.models.server import ScriptedProcess

    most = args.nodes * AGENTS_PER_NODE
    scaling = {
        "mode": "on",
        "forecast": False,
        "rules": {
            **{"fleet_floor": len(POOLS), "fleet_ceiling": most},
            **{"cooldown_s": COOLDOWN_S, "emergency_watch_s": COOLDOWN_S},
        },
        "start_up": {"agents_per_node": AGENTS_PER_NODE},
    }
    shape = {"cpus_per_agent": CPUS_PER_AGENT, "block_agents": 1, "slots_per_agent": 1}
    with (
        ScriptedProcess() as upstream,
        BenchFleet(home, upstream, agents=len(POOLS), standby=0, fleet=shape, scaling=scaling) as made,
        made.client() as client,
    ):
        made.deploy()
        nodes_before = _status(cluster).nodes_up
        clock = time.perf_counter()
        reached: dict[int, float] = {}
        with _load(client, most * SLOTS * 5 // 4, args.turn_s) as load:

            def grown() -> bool:
                up = _status(cluster).nodes_up
                reached.setdefault(up, round(time.perf_counter() - clock, 1))
                return up >= args.nodes

            _wait(grown, f"{args.nodes} nodes")
            agents = sum(pool.ready for pool in client.pools.list())
            replaced_s = _kill_one(cluster, args.nodes)
        clock = time.perf_counter()
        load.finish()
        answered_s = round(time.perf_counter() - clock, 1)
        back: dict[int, float] = {}

        def shrunk() -> bool:
            status = _status(cluster)
            back.setdefault(status.nodes_up, round(time.perf_counter() - clock, 1))
            return status.nodes_up <= 1 and len(status.nodes) <= 1

        _wait(shrunk, "one node again")
        status = _status(cluster)
        return {
            "nodes_before": nodes_before,
            "nodes": args.nodes,
            "agents_at_most_nodes": agents,
            "up_s": reached[args.nodes],
            "up_by_nodes": reached,
            "replaced_s": replaced_s,
            "answered_s": answered_s,
            "down_s": back[min(back)],
            "down_by_nodes": back,
            "nodes_after": status.nodes_up,
            "nodes_known_after": len(status.nodes),
            **load.counts(),
        }


class Load:
    """Clients that each keep one task open until `ended`, and then wait for their last one."""

    def __init__(self, client: Client, clients: int, turn_s: float) -> None:
        self._client = client
        self._turn_s = turn_s
        self.ended = threading.Event()
        self._accepted: list[str] = []
        self._states: dict[str, str] = {}
        self._refused = 0
        self._threads = [threading.Thread(target=self._keep, args=(number,), daemon=True) for number in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(ANSWER_S)

    def counts(self) -> dict[str, int]:
        """`lost`: no end was told; `failed`: an end other than success."""
        ends = Counter(self._states.values())
        done, lost = ends["succeeded"], len(self._accepted) - len(self._states) + ends[UNKNOWN]
        failed = len(self._accepted) - done - lost
        return {
            **{"accepted": len(self._accepted), "completed": done, "failed": failed, "lost": lost},
            "refused": self._refused,
        }

    def _keep(self, number: int) -> None:
        from ossa.contracts.errors import OssaError

        model = f"pool/{POOLS[number % len(POOLS)]}"
        while not self.ended.is_set():
            try:
                task = self._client.tasks.create(f"[[delay:{self._turn_s}]] client {number}", model=model)
            except OssaError:
                self._refused += 1
                self.ended.wait(POLL_S)
                continue
            self._accepted.append(task.id)
            self._states[task.id] = self._end_of(task.id)

    def _end_of(self, task_id: str) -> str:
        """Asked again whatever a call says: the gateway may move with its node."""
        from ossa.contracts.errors import OssaError

        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            try:
                return str(self._client.tasks.wait(task_id, timeout_s=ANSWER_S, poll_s=POLL_S).status)
            except OssaError:
                time.sleep(POLL_S)
        return UNKNOWN


@contextmanager
def _load(client: Client, clients: int, turn_s: float) -> Iterator[Load]:
    load = Load(client, clients, turn_s)
    load.start()
    try:
        yield load
    finally:
        load.ended.set()


def _kill_one(cluster: LocalCluster, nodes: int) -> float:
    """SIGKILL the raylet of the newest node; seconds until as many nodes are up without it."""
    records = cluster.folder.nodes()
    victim = max(records, key=lambda record: record.process.started)
    _progress(f"killing the raylet of {victim.node_id}")
    os.kill(_raylet_of(victim.process.pid), signal.SIGKILL)
    clock = time.perf_counter()

    def replaced() -> bool:
        status = _status(cluster)
        return status.nodes_up >= nodes and victim.node_id not in {node.node_id for node in status.nodes}

    _wait(replaced, "a node in place of the killed one")
    return round(time.perf_counter() - clock, 1)


def _raylet_of(leader: int) -> int:
    """Of a node's process session."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "raylet" and os.getsid(process.pid) == leader:
            return int(process.pid)
    raise RuntimeError(f"session {leader} has no raylet")


def _status(cluster: LocalCluster) -> ClusterStatus:
    status = cluster.status()
    assert status is not None
    return status


def _wait(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GET_THERE_S
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {GET_THERE_S:g} s")
        time.sleep(LOOK_S)


def _progress(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


def summarise(runs: Sequence[dict[str, Any]], nodes: int) -> dict[str, Any]:
    base, got = (next(run for run in runs if run["arm"] == arm) for arm in ARMS)
    return {
        "bare_up_s": base["up_s"],
        "up_s": got["up_s"],
        "up_ratio": round(got["up_s"] / base["up_s"], 2),
        "down_s": got["down_s"],
        "replaced_s": got["replaced_s"],
        "accepted": got["accepted"],
        **{"lost": got["lost"], "failed": got["failed"]},
        "leaked": got["nodes_known_after"] - got["nodes_after"] + got["processes_left"],
        "passed": got["lost"] == got["failed"] == 0
        and got["nodes"] == nodes
        and got["nodes_after"] == 1
        and got["nodes_known_after"] == 1
        and got["processes_left"] == 0,
    }


def show(summary: dict[str, Any], runs: Sequence[dict[str, Any]]) -> None:
    got = next(run for run in runs if run["arm"] == "fleet")
    table = Table("nodes up", "s after load began", "s after load ended")
    for nodes in range(1, got["nodes"] + 1):
        up, down = got["up_by_nodes"], got["down_by_nodes"]
        table.add_row(str(nodes), str(up.get(str(nodes), up.get(nodes, ""))), str(down.get(str(nodes), "")))
    console = Console()
    console.print(table)
    console.print(
        f"{got['nodes_before']} to {got['nodes']} nodes in {summary['up_s']} s ({summary['up_ratio']} of the bare "
        f"raylets' {summary['bare_up_s']} s), a killed one replaced in {summary['replaced_s']} s, back to 1 in "
        f"{summary['down_s']} s; of {summary['accepted']} tasks {summary['lost']} lost, {summary['failed']} failed, "
        f"{summary['leaked']} nodes or "
        f"processes left; {'passed' if summary['passed'] else 'FAILED'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--turn-s", type=float, default=25.0, help="below the 30 s of a model call")
    parser.add_argument("--arm", choices=ARMS, help="this one alone, in this process")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.arm:
        args.out.write_text(json.dumps(bare(args) if args.arm == "bare" else fleet(args)))
        return 0
    runs = []
    for arm in ARMS:
        runs.append(run_one(arm, args))
        _progress(json.dumps(runs[-1]))
    summary = summarise(runs, args.nodes)
    report = {**summary, "nodes": args.nodes, "idle_s": IDLE_S, "cooldown_s": COOLDOWN_S, "runs": runs}
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        show(summary, runs)
    return 0 if summary["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
