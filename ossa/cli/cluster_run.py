"""What `ossa cluster up` does until it ends, and what a cluster's status looks like."""

from __future__ import annotations

import contextlib
import sys
import time

from ossa.cli.exit_code import ExitCode
from ossa.cli.stop_signals import stop_signals
from ossa.cli.terminal import Terminal
from ossa.contracts.errors import Cancelled
from ossa.nodes.local_cluster import LocalCluster
from ossa.nodes.plan import ClusterPlan
from ossa.nodes.status import ClusterStatus

WATCH_S = 1.0


def run_up(cluster: LocalCluster, plan: ClusterPlan, terminal: Terminal, *, detach: bool) -> ExitCode:
    """Up, and without `detach` kept until a signal comes (0) or the head ends by itself (1)."""
    up = left = False
    # Ray's own threads print to standard output, which is the report's alone.
    with contextlib.redirect_stdout(sys.stderr), stop_signals() as told:
        try:
            cluster.up(plan)
            up = True
            show(cluster.status(), terminal)
            if detach:
                left = True
                terminal.note("It runs on; `ossa cluster down` ends it.")
                return ExitCode.OK
            terminal.note("Up until Ctrl-C.")
            while cluster.alive():
                time.sleep(WATCH_S)
            terminal.note("The head has ended; so do its nodes.")
        except BaseException as error:
            if not (told.to_stop or isinstance(error, SystemExit)):
                raise
            if not up:
                terminal.error(Cancelled("interrupted before the cluster was up; what was started is ended again"))
        finally:
            if up and not left:
                cluster.down()
    return ExitCode.OK if up and told.to_stop else ExitCode.FAILED


def show(status: ClusterStatus | None, terminal: Terminal) -> None:
    """A line a node, and where it is; with --json all of it."""
    if terminal.as_json:
        terminal.json(status)
        return
    if status is None:
        terminal.note("no cluster of this home runs")
        return
    columns = ("node", "state", "cpus", "used", "GiB", "idle_s", "pid")
    rows = (
        (node.node_id, node.state, node.cpus, node.cpus_used, node.memory_bytes / 2**30, node.idle_s, node.pid)
        for node in status.nodes
    )
    terminal.table(columns, rows)
    terminal.note(
        f"{status.nodes_up} nodes up, {status.nodes_starting} starting, {status.waiting} requests waiting"
        f" at {status.address} (RAY_ADDRESS), dashboard {status.dashboard_url}"
    )
    if status.trouble:
        terminal.note(status.trouble)
