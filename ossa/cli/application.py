"""All commands of `ossa`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli import (
    backup,
    cluster,
    compress,
    cost,
    database,
    events,
    fleet,
    keys,
    manifests,
    memory,
    router,
    scaling,
    tasks,
)

app = typer.Typer(
    name="ossa",
    epilog="Exit codes: 0 done; 1 it failed, or the fleet is not well; 2 usage; 3 no fleet answers; 4 not allowed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        from ossa.sdk.exchange import package_version

        typer.echo(f"ossa-on-ray {package_version()}")
        raise typer.Exit


@app.callback()
def ossa(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run a fleet of OSSA agents on Ray, and talk to it."""


app.command(epilog="Example: ossa up --agents 20 --detach")(fleet.up)
app.command(epilog="Example: ossa down")(fleet.down)
app.command(epilog="Example: ossa status --json | jq .pools")(fleet.status)
app.command(epilog="Example: ossa ask 'What is a placement group?' --pool intelligence --stream")(tasks.ask)
app.command(epilog="Example: ossa apply agent.yaml --pool security")(manifests.apply)
app.command(epilog="Example: ossa validate manifests/ agent.yaml")(manifests.validate)
app.command(epilog="Example: ossa compress app.log -q 'why does it restart?'")(compress.compress)
app.command(epilog="Example: ossa scale security 40. Example: ossa scale --explain")(scaling.scale)
app.command(epilog="Example: ossa alert security --for 10m")(scaling.alert)
app.command(epilog="Example: ossa route 'Review this change' --explain")(tasks.route)
app.command(epilog="Example: ossa tasks task_0193... --events")(tasks.tasks)
app.command(epilog="Example: ossa feedback task_0193... down --expected security")(tasks.feedback)
app.add_typer(fleet.agents, name="agents")
app.add_typer(keys.app, name="keys")
app.add_typer(cost.budgets, name="budgets")
app.add_typer(cost.app, name="cost")
app.add_typer(router.app, name="router")
app.add_typer(memory.app, name="memory")
app.add_typer(backup.app, name="backup")
app.add_typer(database.app, name="database")
app.add_typer(events.app, name="events")
app.add_typer(cluster.app, name="cluster")
