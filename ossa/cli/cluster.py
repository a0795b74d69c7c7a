"""`ossa cluster`: Ray nodes on this machine that Ray's autoscaler makes and removes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ossa.cli.session import Session, group, local_command
from ossa.cli.stop_signals import stop_signals
from ossa.cli.terminal import ExitCode, Terminal
from ossa.contracts.errors import Cancelled

if TYPE_CHECKING:
    from ossa.nodes.local_cluster import ClusterStatus, LocalCluster
    from ossa.nodes.plan import ClusterPlan

app = group("Start, show and end a Ray cluster on this machine whose nodes follow what is asked of it.")

DEFAULT_PLAN = Path("cluster/ray-local.yaml")
NONE_RUNS = "no cluster of this home runs"
WATCH_S = 1.0


@app.command(epilog="Example: ossa cluster up cluster/ray-local.yaml --max 4 --detach")
@local_command
def up(
    session: Session,
    plan: Annotated[Path, typer.Argument(help="The autoscaler's configuration.")] = DEFAULT_PLAN,
    least: Annotated[
        int | None, typer.Option("--min", min=0, max=100, help="Nodes at least; else what the file says.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, max=100, help="Nodes at most; else what the file says.")
    ] = None,
    idle_timeout: Annotated[
        float | None, typer.Option("--idle-timeout", min=0, help="Seconds until an idle node goes away.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it is up; `ossa cluster down` ends it.")
    ] = False,
) -> None:
    """Start a head without work and the least number of nodes, and keep them until Ctrl-C."""
    from ossa.nodes.plan import read_plan

    bounded = read_plan(plan).bounded(least=least, most=most, idle_timeout_s=idle_timeout)
    raise typer.Exit(_run_up(_cluster(session), bounded, session.terminal, detach=detach))


@app.command(epilog="Example: ossa cluster status --json | jq .nodes_up")
@local_command
def status(session: Session) -> None:
    """Show the head and its nodes: exit code 0 when the cluster is well, 1 when not, 3 when there is none."""
    status = _cluster(session).status()
    _show(status, session.terminal)
    if status is None:
        raise typer.Exit(ExitCode.UNREACHABLE)
    raise typer.Exit(ExitCode.OK if status.well else ExitCode.FAILED)


@app.command(epilog="Example: ossa cluster down")
@local_command
def down(session: Session) -> None:
    """End head and nodes, also what a crash left of them, and nothing else."""
    cluster = _cluster(session)
    run = cluster.run
    cluster.down()
    note = f"ended the cluster at {run.address}" if run else NONE_RUNS
    session.terminal.result({"stopped": run.address if run else None}, note=note)


def _cluster(session: Session) -> LocalCluster:
    """Returns the cluster of this home, whether it runs or not."""
    from ossa.nodes.local_cluster import LocalCluster

    settings = session.settings
    return LocalCluster(settings.home_dir, gateway=settings.gateway, progress=session.terminal.note)


def _run_up(cluster: LocalCluster, plan: ClusterPlan, terminal: Terminal, *, detach: bool) -> ExitCode:
    """Starts the cluster; without `detach` keeps it until a signal comes (0) or the head ends by itself (1)."""
    up = left = False
    # Ray's own threads print to standard output, which is the report's alone.
    with contextlib.redirect_stdout(sys.stderr), stop_signals() as signals:
        try:
            cluster.up(plan)
            up = True
            _show(cluster.status(), terminal)
            if detach:
                left = True
                terminal.note("It runs on; `ossa cluster down` ends it.")
                return ExitCode.OK
            terminal.note("Up until Ctrl-C.")
            while cluster.alive():
                time.sleep(WATCH_S)
            terminal.note("The head has ended; so do its nodes.")
        except BaseException as error:
            if not (signals.to_stop or isinstance(error, SystemExit)):
                raise
            if not up:
                terminal.error(Cancelled("interrupted before the cluster was up; what was started is ended again"))
        finally:
            if up and not left:
                cluster.down()
    return ExitCode.OK if up and signals.to_stop else ExitCode.FAILED


def _show(status: ClusterStatus | None, terminal: Terminal) -> None:
    """Prints one line for each node, and where the cluster is; with --json all of it."""
    if terminal.as_json:
        terminal.json(status)
        return
    if status is None:
        terminal.note(NONE_RUNS)
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
