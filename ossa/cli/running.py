"""`ossa up`, `ossa down`, `ossa status`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.exit_code import ExitCode
from ossa.cli.session import connected, reporting, wiring
from ossa.contracts.fleet import POOLS
from ossa.sdk.fleet import Pool, Pools


def up(
    context: typer.Context,
    agents: Annotated[
        int | None,
        typer.Option(
            "--agents",
            min=len(POOLS),
            max=10_000,
            help=f"Agents in all, at least one for each of the {len(POOLS)} pools; else what the machine carries.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Run the examples, report, stop; the exit code tells.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return once the fleet is up; `ossa down` ends it.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of the HTTP API; 0 takes a free one.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Start the fleet and what it needs here, and serve until Ctrl-C."""
    if once and detach:
        raise typer.BadParameter("--once and --detach exclude each other.")
    with reporting(as_json=as_json):
        code = (
            wiring(context)
            .composition()
            .run_up(agents=agents, once=once, detach=detach, port=port, json_output=as_json)
        )
    raise typer.Exit(code)


def down(context: typer.Context, as_json: options.Json = False) -> None:
    """Stop what `ossa up` started here, and nothing else."""
    with reporting(as_json=as_json):
        code = wiring(context).composition().run_down(json_output=as_json)
    raise typer.Exit(code)


def status(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """Show whether the fleet is well: exit code 0 when it is and every pool has its agents, else 1."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        health = client.health()
        version = client.version()
        pools = client.pools.list()
        well = health.ok and all(pool.ready >= pool.desired for pool in pools)
        if as_json:
            terminal.json({"ok": well, "version": version.version, "health": health, "pools": pools})
        else:
            terminal.table(Pools.columns, pools.rows())
            for fault in health.faults:
                terminal.note(fault)
            terminal.note(f"{_verdict(well, pools)} (version {version.version})")
    raise typer.Exit(ExitCode.OK if well else ExitCode.FAILED)


def _verdict(well: bool, pools: tuple[Pool, ...]) -> str:
    ready, desired = sum(pool.ready for pool in pools), sum(pool.desired for pool in pools)
    return f"{ready} of {desired} agents ready: {'the fleet is well' if well else 'the fleet is not well'}"
