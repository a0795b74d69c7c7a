"""`ossa cluster`: Ray nodes on this machine that Ray's autoscaler makes and removes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import reporting
from ossa.cli.terminal import Terminal

if TYPE_CHECKING:
    from ossa.nodes.local_cluster import LocalCluster

app = typer.Typer(
    help="Start, show and end a Ray cluster on this machine whose nodes follow what is asked of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DEFAULT_PLAN = Path("cluster/ray-local.yaml")


@app.command(epilog="Example: ossa cluster up cluster/ray-local.yaml --max 4 --detach")
def up(
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
    as_json: options.Json = False,
) -> None:
    """Start a head without work and the least number of nodes, and keep them until Ctrl-C."""
    with reporting(as_json=as_json) as terminal:
        from ossa.cli.cluster_run import run_up
        from ossa.nodes.plan import read_plan

        bounded = read_plan(plan).bounded(least=least, most=most, idle_timeout_s=idle_timeout)
        code = run_up(local_cluster(terminal), bounded, terminal, detach=detach)
    raise typer.Exit(code)


@app.command(epilog="Example: ossa cluster status --json | jq .nodes_up")
def status(as_json: options.Json = False) -> None:
    """Show the head and its nodes: exit code 0 when the cluster is well, 1 when not, 3 when there is none."""
    with reporting(as_json=as_json) as terminal:
        from ossa.cli.cluster_run import show

        status = local_cluster(terminal).status()
        show(status, terminal)
    if status is None:
        raise typer.Exit(ExitCode.UNREACHABLE)
    raise typer.Exit(ExitCode.OK if status.well else ExitCode.FAILED)


@app.command(epilog="Example: ossa cluster down")
def down(as_json: options.Json = False) -> None:
    """End head and nodes, also what a crash left of them, and nothing else."""
    with reporting(as_json=as_json) as terminal:
        cluster = local_cluster(terminal)
        run = cluster.run
        cluster.down()
        if as_json:
            terminal.json({"stopped": run.address if run else None})
        else:
            terminal.note(f"ended the cluster at {run.address}" if run else "no cluster of this home runs")


def local_cluster(terminal: Terminal) -> LocalCluster:
    """The cluster of this home, whether it runs or not."""
    from ossa.nodes.local_cluster import LocalCluster
    from ossa.settings import Settings

    settings = Settings()
    return LocalCluster(settings.home_dir, gateway=settings.gateway, progress=terminal.note)
