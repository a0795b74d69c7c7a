"""A cluster on this machine: up, how it is, down. Blocking; for `ossa cluster`, tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

import psutil

from ossa.app.local_ray import end_session
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Conflict, NotReady
from ossa.contracts.progress import Progress
from ossa.nodes.head import end_head, start_head
from ossa.nodes.plan import ClusterPlan
from ossa.nodes.raylet import end_nodes
from ossa.nodes.run_folder import ClusterRun, RunFolder, marked
from ossa.nodes.status import ClusterStatus, cluster_status

NODES_TIMEOUT_S = 300.0
END_TRIES = 3


class LocalCluster:
    """`up`, then `run.address`; `down` ends every process of it, also of one that another process started.

    Args:
        home: its run folder is `<home>/cluster`; one cluster a home.
    """

    def __init__(self, home: Path, *, gateway: GatewaySettings, progress: Progress = lambda _: None) -> None:
        self.folder = RunFolder(home / "cluster")
        self._gateway = gateway
        self._progress = progress

    @property
    def run(self) -> ClusterRun | None:
        return self.folder.run()

    def up(self, plan: ClusterPlan) -> ClusterRun:
        """Head and the least number of nodes. Raises `Conflict` beside one that runs, `NotReady` when it fails.

        What was started before it failed is ended again. What is left of an earlier one without a head is ended first.
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
        """None: nothing of this home runs. Asks Ray, for seconds at most."""
        run = self.folder.run()
        return None if run is None else cluster_status(run, self.folder.nodes())

    def processes(self) -> list[int]:
        """Numbers of all processes that carry the run's mark."""
        run = self.folder.run()
        return sorted(process.pid for process in marked(run.run)) if run else []

    def down(self) -> bool:
        """End head and nodes, and what else carries the run's mark; whether there was a run.

        The head goes first: its autoscaler would fill the places of nodes that go.
        Raises `NotReady` when a process does not end; the run folder stays then.
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
    """What a crash kept from being written down. Returns the numbers of those that do not end."""
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
