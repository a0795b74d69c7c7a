"""`ossa route`."""

from __future__ import annotations

from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.asking import target_of
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.contracts.routing import Route
from ossa.sdk.routing import AgentScores, Routes, TierScores

CAPABILITIES = "ossa.capabilities"


def route(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="What would be asked.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Instead: where this task went.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the scores, and what was passed over and why.")
    ] = False,
    pool: Annotated[str | None, typer.Option("--pool", help="As if this pool were asked.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="As if this agent or manifest were asked.")] = None,
    needs: Annotated[
        str | None, typer.Option("--needs", help="Capabilities or tools it must have, commas between.")
    ] = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Where a request would go now, or where a task went. Nothing is run."""
    if (prompt is None) == (task is None):
        raise typer.BadParameter("Give either a prompt or --task.")
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        if task is not None:
            found = client.tasks.route(task)
        else:
            metadata = {CAPABILITIES: needs} if needs else None
            found = Routes((client.route(prompt or "", model=target_of(pool, agent), metadata=metadata),))
        if as_json:
            terminal.json(found if task is not None else found[0])
            return
        terminal.table(Routes.columns, found.rows())
        for one in found if explain else ():
            _explain(terminal, one)


def _explain(terminal: Terminal, route: Route) -> None:
    terminal.text("")
    terminal.table(AgentScores.columns, AgentScores(route.agents).rows())
    if route.tiers:
        terminal.text("")
        terminal.table(TierScores.columns, TierScores(route.tiers).rows())
    told = [*route.reasons]
    told += [f"{count} agents passed over: {name}" for name, count in route.filtered.items()]
    told += [f"{tier} not taken: {why}" for tier, why in route.tiers_filtered.items()]
    if route.cascade:
        told.append(f"cascade: {' -> '.join(route.cascade)}")
    if route.explored:
        told.append("another tier than the best was tried, to learn")
    terminal.text("")
    for line in told:
        terminal.text(line)
