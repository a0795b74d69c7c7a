"""A cluster on this machine: starts it, shows its status, ends it. Blocking; for `ossa cluster` and tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from pydantic import Field

from ossa.app.local_ray import end_session
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Conflict, NotReady
from ossa.contracts.value import Progress, Value
from ossa.nodes.plan import ClusterPlan
from ossa.nodes.raylet import end_head, end_nodes, start_head
from ossa.nodes.run_folder import ClusterRun, NodeRecord, RunFolder, marked

ASK_S = 10


class NodeStatus(Value):
    """`state` is idle, running or draining as Ray reports it; starting; or dead when its processes have ended."""

    node_id: str
    state: str
    pid: int
    cpus: float = 0.0
    cpus_used: float = 0.0
    memory_bytes: int = 0
    idle_s: float = 0.0


class ClusterStatus(Value):
    """`nodes_up` counts usable nodes without the head. `trouble` says why Ray could not be asked."""

    address: str
    dashboard_url: str
    head_alive: bool
    nodes_up: int = 0
    nodes_starting: int = 0
    nodes: tuple[NodeStatus, ...] = ()
    waiting: int = Field(0, description="placement groups, tasks and actors that no node has room for")
    trouble: str = ""

    @property
    def well(self) -> bool:
        return self.head_alive and not self.trouble and self.nodes_up > 0


def cluster_status(run: ClusterRun, records: Sequence[NodeRecord]) -> ClusterStatus:
    """Returns the status. Asks the head for `ASK_S` seconds at most. Never raises."""
    alive = run.head.alive()
    nodes_by_id: dict[str, Any] = {}
    waiting = 0
    trouble = "" if alive else "the head is gone: `ossa cluster down` ends what is left"
    if alive:
        try:
            nodes_by_id, waiting = _ask(run.address)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises is shown
            trouble = f"the head does not answer: {error}"
    nodes = tuple(_node(record, nodes_by_id.get(record.node_id)) for record in records)
    return ClusterStatus(
        address=run.address,
        dashboard_url=run.dashboard_url,
        head_alive=alive,
        nodes_up=sum(node.state in ("idle", "running") for node in nodes),
        nodes_starting=sum(node.state == "starting" for node in nodes),
        nodes=nodes,
        waiting=waiting,
        trouble=trouble,
    )


def _ask(address: str) -> tuple[dict[str, Any], int]:
    """Returns Ray's nodes by the provider's id, and the number of placement groups, tasks and actors without room."""
    # Ray reads it when it is imported; every process of the cluster has it.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(address, timeout=ASK_S)
    nodes = {node.instance_id: node for node in (*status.active_nodes, *status.idle_nodes)}
    demands = (*status.resource_demands.ray_task_actor_demand, *status.resource_demands.placement_group_demand)
    return nodes, sum(bundle.count for demand in demands for bundle in demand.bundles_by_count)


def _node(record: NodeRecord, node: Any) -> NodeStatus:
    if node is None or not record.process.alive():
        state = "starting" if record.process.alive() else "dead"
        return NodeStatus(node_id=record.node_id, state=state, pid=record.process.pid)
    cpus = node.total_resources().get("CPU", 0.0)
    return NodeStatus(
        node_id=record.node_id,
        state=node.node_status.lower(),
        pid=record.process.pid,
        cpus=cpus,
        cpus_used=round(node.used_resources().get("CPU", 0.0), 3),
        memory_bytes=int(node.total_resources().get("memory", 0)),
        idle_s=round(node.resource_usage.idle_time_ms / 1000, 1),
    )


NODES_TIMEOUT_S = 300.0
END_TRIES = 3


class LocalCluster:
    """One cluster a home. Call `up`, then use `run.address`. `down` ends every process, whoever started it.

    Args:
        home: the run folder is `<home>/cluster`.
    """

    def __init__(self, home: Path, *, gateway: GatewaySettings, progress: Progress = lambda _: None) -> None:
        self.folder = RunFolder(home / "cluster")
        self._gateway = gateway
        self._progress = progress

    @property
    def run(self) -> ClusterRun | None:
        return self.folder.run()

    def up(self, plan: ClusterPlan) -> ClusterRun:
        """Starts the head and the least number of nodes. Ends the rest of an earlier cluster without a head first.

        Raises `Conflict` if one runs already, `NotReady` when it fails; what was started is then ended again.
        """
        self._refuse_a_second()
        self.down()
        self.folder.make()
        try:
            self._progress("starting the head")
            run = start_head(plan, self.folder, self._gateway, secrets.token_hex(8))
            self._progress(f"waiting for {plan.worker.min_workers} of {plan.worker.max_workers} nodes")
            self._wait_for_nodes(run, plan.worker.min_workers)
        except BaseException:
            self.down()
            raise
        return run

    def alive(self) -> bool:
        """Whether the head's process lives."""
        run = self.folder.run()
        return run is not None and run.head.alive()

    def status(self) -> ClusterStatus | None:
        """Returns the status, or None if nothing of this home runs. Asks Ray, for seconds at most."""
        run = self.folder.run()
        return None if run is None else cluster_status(run, self.folder.nodes())

    def processes(self) -> list[int]:
        """Returns the ids of all processes with the run's mark."""
        run = self.folder.run()
        return sorted(process.pid for process in marked(run.run)) if run else []

    def down(self) -> bool:
        """Ends the head, the nodes and every process with the run's mark. Returns whether there was a run.

        The head goes first: its autoscaler would replace nodes that go. Raises `NotReady` when a process does not end;
        the run folder stays then.
        """
        run = self.folder.run()
        if run is None:
            return False
        self._progress("ending the head and its nodes")
        end_head(run)
        end_nodes(self.folder.nodes())
        left = _end_marked(run.run)
        if left:
            raise NotReady(f"processes of the cluster did not end: {', '.join(map(str, left))}")
        self.folder.clear()
        return True

    def _refuse_a_second(self) -> None:
        run = self.folder.run()
        if run is not None and run.head.alive():
            raise Conflict(
                f"a cluster of this home runs already at {run.address}: "
                "`ossa cluster down` ends it, OSSA_HOME names another home"
            )

    def _wait_for_nodes(self, run: ClusterRun, least: int) -> None:
        deadline = time.monotonic() + NODES_TIMEOUT_S
        while time.monotonic() < deadline:
            if not run.head.alive():
                raise NotReady(f"the head has ended; see {self.folder.logs}")
            status = cluster_status(run, self.folder.nodes())
            if status.nodes_up >= least:
                return
            time.sleep(0.5)
        raise NotReady(f"{least} nodes were not up within {NODES_TIMEOUT_S:g} s; see {self.folder.logs}")


def _end_marked(run: str) -> list[int]:
    """Ends processes that a crash left unrecorded. Returns the ids of those that do not end."""
    left: list[int] = []
    for _ in range(END_TRIES):
        left = []
        for process in marked(run):
            if process.pid == os.getpid():
                continue
            left.append(process.pid)
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                leader = os.getsid(process.pid)
                if leader == os.getsid(0):  # never the caller's own session
                    process.kill()
                else:
                    end_session(leader, _started(leader))
        if not left:
            return []
    return left


def _started(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return 0.0
