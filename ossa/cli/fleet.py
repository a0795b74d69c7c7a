"""`ossa up`, `ossa down`, `ossa status` and `ossa agents`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli.session import Session, fleet_command, local_command
from ossa.cli.terminal import ExitCode
from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOLS


@local_command
def up(
    session: Session,
    agents: Annotated[
        int | None,
        typer.Option(
            "--agents",
            min=len(POOLS),
            max=10_000,
            help=f"Agents in all, at least one for each of the {len(POOLS)} pools; else what the machine carries.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run the examples, report, stop; the exit code is the result.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return once the fleet is up; `ossa down` ends it.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of the HTTP API; 0 takes a free one.")
    ] = None,
) -> None:
    """Start the fleet and what it needs here, and serve until Ctrl-C."""
    if once and detach:
        raise typer.BadParameter("--once and --detach exclude each other.")
    composition = session.wiring.composition()
    raise typer.Exit(
        composition.run_up(agents=agents, once=once, detach=detach, port=port, json_output=session.as_json)
    )


@local_command
def down(session: Session) -> None:
    """Stop what `ossa up` started here, and nothing else."""
    raise typer.Exit(session.wiring.composition().run_down(json_output=session.as_json))


@fleet_command
def status(session: Session) -> None:
    """Show whether the fleet is well: exit code 0 when it is and every pool has its agents, else 1."""
    client, terminal = session.client, session.terminal
    health = client.health()
    version = client.version()
    pools = client.pools.list()
    well = health.ok and all(pool.ready >= pool.desired for pool in pools)
    if session.as_json:
        terminal.json({"ok": well, "version": version.version, "health": health, "pools": pools})
    else:
        terminal.listing(pools)
        for fault in health.faults:
            terminal.note(fault)
        ready, desired = sum(pool.ready for pool in pools), sum(pool.desired for pool in pools)
        verdict = "the fleet is well" if well else "the fleet is not well"
        terminal.note(f"{ready} of {desired} agents ready: {verdict} (version {version.version})")
    raise typer.Exit(ExitCode.OK if well else ExitCode.FAILED)


agents = typer.Typer(rich_markup_mode=None, invoke_without_command=True, epilog="Example: ossa agents --pool security")


@agents.callback()
@fleet_command
def list_agents(
    session: Session,
    pool: Annotated[str | None, typer.Option("--pool", help="Only agents of this pool.")] = None,
) -> None:
    """List the live agents, or show the life of one."""
    agents = session.client.agents.list(pool=pool)
    if pool is not None and not agents:  # a pool may have no agents; one that is misspelt is an error
        names = [known.name for known in session.client.pools.list()]
        if pool not in names:
            raise NotFound(f"there is no pool {pool!r}: the pools are {', '.join(names)}", param="pool")
    session.terminal.result(agents)


@agents.command(epilog="Example: ossa agents history intelligence-003")
@fleet_command
def history(
    session: Session,
    agent_id: Annotated[str, typer.Argument(metavar="ID", help="The agent's id.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, at most.")] = 50,
) -> None:
    """Show what happened to an agent, newest first: when it became ready, was lost, replaced or removed, and why."""
    session.terminal.result(session.client.agents.history(agent_id, limit=limit))
