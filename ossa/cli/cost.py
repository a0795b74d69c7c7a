"""`ossa cost`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.session import connected
from ossa.cli.terminal import Terminal
from ossa.sdk.cost import CostLine, CostLines, CostReport, MeasuredRows, ProposalRows

app = typer.Typer(
    help="What tasks cost. Needs a key with the scope `admin`.", no_args_is_help=True, rich_markup_mode=None
)

_SINCE = re.compile(r"([1-9][0-9]{0,2})([dw])")


class By(StrEnum):
    TENANT = "tenant"
    POOL = "pool"
    AGENT = "agent"
    MODEL = "model"
    TIER = "tier"


@app.callback()
def cost() -> None:
    """What tasks cost."""


@app.command(epilog="Example: ossa cost report --by agent --since 30d")
def report(
    context: typer.Context,
    by: Annotated[By, typer.Option("--by", help="What lines are of.")] = By.TENANT,
    since: Annotated[str, typer.Option("--since", help="So many days (7d) or weeks (4w), today included.")] = "7d",
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Tasks, tokens and USD, the dearest first; and what an agent costs a month at this rate."""
    days = _days(since)
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.cost.report(by.value, days=days)
        if as_json:
            terminal.json(found)
        else:
            _show(terminal, found)


def _days(since: str) -> int:
    match = _SINCE.fullmatch(since.strip())
    if match is None:
        raise typer.BadParameter("--since is a number of days or weeks, such as 7d or 4w.")
    return int(match[1]) * (7 if match[2] == "w" else 1)


def _show(terminal: Terminal, found: CostReport) -> None:
    total = CostLine(**{**found.total.model_dump(), "name": "total"})
    named = [line if line.name else CostLine(**{**line.model_dump(), "name": "(unknown)"}) for line in found.lines]
    columns = (found.by, *CostLines.columns[1:])
    terminal.table(columns, CostLines([*named, total]).rows())
    if found.agent_month_usd is not None:
        terminal.note(
            f"An agent a month: {found.agent_month_usd:.2f} USD at the rate of the last {found.days:.2f} days and "
            f"{found.live_agents} agents; the target is {found.target_agent_month_usd:g}."
        )


@app.command(epilog="Example: ossa cost proposals --json")
def proposals(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """What would make the fleet cheaper, with its evidence (--json), and what approved proposals brought."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.cost.proposals()
        if as_json:
            terminal.json(found)
            return
        terminal.table(ProposalRows.columns, ProposalRows(found.data).rows())
        if found.approved:
            terminal.table(MeasuredRows.columns, MeasuredRows(found.approved).rows())


@app.command(epilog="Example: ossa cost approve tier:reviewer:standard")
def approve(
    context: typer.Context,
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="As `ossa cost proposals` lists it.")],
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Have a proposal applied, or be told what to set."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        approved = client.cost.approve(proposal_id)
        if as_json:
            terminal.json(approved)
        elif approved.change:
            terminal.note(f"Applied: {approved.apply}.")
        else:
            terminal.text(f"Noted. Now it is for you to set: {approved.apply}")
