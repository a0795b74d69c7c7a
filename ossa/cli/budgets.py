"""`ossa budgets`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ossa.cli import options
from ossa.cli.session import connected
from ossa.sdk.cost import Budget, Budgets

app = typer.Typer(
    help="Set, list and remove budgets of model calls. Needs a key with the scope `admin`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Kind(StrEnum):
    TENANT = "tenant"
    POOL = "pool"
    AGENT = "agent"
    TASK = "task"


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"
    TASK = "task"


KindOf = Annotated[Kind, typer.Argument(help="Whose model calls are counted.")]
Name = Annotated[str, typer.Argument(help="A tenant, a pool, a manifest, or a task's id; * for every task.")]
PeriodOf = Annotated[Period | None, typer.Option("--period", help="Else month; task for tasks.")]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose spending counts; for the operator, else everybody's.")
]


@app.command("list", epilog="Example: ossa budgets list --json")
def list_budgets(
    context: typer.Context, url: options.Url = None, api_key: options.ApiKey = None, as_json: options.Json = False
) -> None:
    """List budgets, and what is used of them in USD."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        found = client.budgets.list()
        if as_json:
            terminal.json(found)
        else:
            terminal.table(Budgets.columns, found.rows())


@app.command("set", epilog="Example: ossa budgets set pool security 20 --soft 15 --period day")
def set_budget(
    context: typer.Context,
    kind: KindOf,
    name: Name,
    hard_usd: Annotated[float, typer.Argument(metavar="USD", min=0, help="What is never passed.")],
    soft_usd: Annotated[float | None, typer.Option("--soft", min=0, help="USD above which is warned.")] = None,
    period: PeriodOf = None,
    tenant: Tenant = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Set a budget, or replace the one there is; what was spent stays spent."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        made = client.budgets.set(kind, name, hard_usd, soft_usd=soft_usd, period=period, tenant=tenant)
        if as_json:
            terminal.json(made)
        else:
            terminal.note(f"{_named(made)}: {made.hard_usd:g} USD, {made.left_usd:g} left.")


@app.command(epilog="Example: ossa budgets remove pool security --period day")
def remove(
    context: typer.Context,
    kind: KindOf,
    name: Name,
    period: PeriodOf = None,
    tenant: Tenant = None,
    url: options.Url = None,
    api_key: options.ApiKey = None,
    as_json: options.Json = False,
) -> None:
    """Remove a budget."""
    with connected(context, url, api_key, as_json=as_json) as (client, terminal):
        gone = client.budgets.remove(kind, name, period=period, tenant=tenant)
        if as_json:
            terminal.json(gone)
        else:
            terminal.note(f"{_named(gone)} is removed.")


def _named(budget: Budget) -> str:
    whose = f" of tenant {budget.tenant}" if budget.tenant else ""
    return f"Budget {budget.kind} {budget.name}{whose} a {budget.period}"
