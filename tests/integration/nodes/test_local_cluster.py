"""Ray's own autoscaler on this machine: nodes come with the work, are replaced when they die, and go afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Conflict
from ossa.nodes.local_cluster import LocalCluster
from ossa.nodes.plan import read_plan
from ossa.nodes.run_folder import marked

PLAN = Path(__file__).parents[3] / "cluster" / "ray-local.yaml"
GET_THERE_S = 240.0

WORK = """
import sys, ray
ray.init(log_to_driver=False)

@ray.remote(num_cpus=8)
class Holder:
    def where(self):
        return ray.get_runtime_context().get_node_id()

holders = [Holder.options(max_restarts=-1).remote() for _ in range(2)]
print("held", len(set(ray.get([holder.where.remote() for holder in holders]))), flush=True)
sys.stdin.readline()
"""
"""Holds two nodes until its standard input ends; an actor whose node dies starts again on another one."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    made = LocalCluster(tmp_path_factory.mktemp("home"), gateway=GatewaySettings())
    before = dict(os.environ)
    made.up(read_plan(PLAN).bounded(least=1, most=2, idle_timeout_s=3))
    yield made
    made.down()
    os.environ.clear()
    os.environ.update(before)


def nodes_up(cluster: LocalCluster) -> set[str]:
    status = cluster.status()
    assert status is not None
    return {node.node_id for node in status.nodes if node.state in ("idle", "running")}


def until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GET_THERE_S
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def raylet_of(leader: int) -> int:
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "raylet" and os.getsid(process.pid) == leader:
            return int(process.pid)
    raise AssertionError(f"session {leader} has no raylet")


def test_nodes_follow_the_work_are_replaced_when_they_die_and_go_afterwards(cluster: LocalCluster) -> None:
    run = cluster.run
    assert run is not None
    first = nodes_up(cluster)
    assert len(first) == 1
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_ADDRESS": run.address},
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "held 2"
        both = nodes_up(cluster)
        assert len(both) == 2

        (second,) = both - first
        record = next(record for record in cluster.folder.nodes() if record.node_id == second)
        os.kill(raylet_of(record.process.pid), signal.SIGKILL)
        until(lambda: len(nodes_up(cluster) - {second}) == 2, "another node takes the place of the killed one")
        until(lambda: second not in {one.node_id for one in cluster.folder.nodes()}, "the killed one is forgotten")
        assert not record.process.alive(), "what was left of the killed one is ended"
    finally:
        worker.communicate("\n")
    until(lambda: len(nodes_up(cluster)) == 1, "one node is enough again")
    until(lambda: len(cluster.folder.nodes()) == 1, "the other one is gone")


def test_a_second_cluster_of_a_home_is_refused_and_leaves_the_first_alone(cluster: LocalCluster) -> None:
    with pytest.raises(Conflict, match="ossa cluster down"):
        LocalCluster(cluster.folder.path.parent, gateway=GatewaySettings()).up(read_plan(PLAN))
    assert cluster.alive()


def test_down_leaves_no_process_behind_and_may_be_called_again(cluster: LocalCluster) -> None:
    run = cluster.run
    assert run is not None
    assert cluster.processes()
    assert cluster.down()
    assert not [process.pid for process in marked(run.run)]
    assert not Path(run.temp_dir).exists()
    assert not cluster.down()
