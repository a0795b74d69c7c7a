"""`ossa budgets` and `ossa cost`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from ossa.cli.session import Session, fleet_command, group
from ossa.cli.terminal import Terminal
from ossa.sdk.cost import Budget, CostLine, CostLines, CostReport, MeasuredRows, ProposalRows

budgets = group("Set, list and remove budgets of model calls. Needs a key with the scope `admin`.")
app = group("Show what tasks cost. Needs a key with the scope `admin`.")

_SINCE = re.compile(r"([1-9][0-9]{0,2})([dw])")


class Kind(StrEnum):
    TENANT = "tenant"
    POOL = "pool"
    AGENT = "agent"
    TASK = "task"


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"
    TASK = "task"


class By(StrEnum):
    TENANT = "tenant"
    POOL = "pool"
    AGENT = "agent"
    MODEL = "model"
    TIER = "tier"


KindArgument = Annotated[Kind, typer.Argument(help="Whose model calls are counted.")]
NameArgument = Annotated[str, typer.Argument(help="A tenant, a pool, a manifest, or a task's id; * for every task.")]
PeriodOption = Annotated[Period | None, typer.Option("--period", help="Default: month; task for tasks.")]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Whose spending counts (the operator's to say); else everybody's.")
]


@budgets.command("list", epilog="Example: ossa budgets list --json")
@fleet_command
def list_budgets(session: Session) -> None:
    """List budgets, and what is used of them in USD."""
    session.terminal.result(session.client.budgets.list())


@budgets.command("set", epilog="Example: ossa budgets set pool security 20 --soft 15 --period day")
@fleet_command
def set_budget(
    session: Session,
    kind: KindArgument,
    name: NameArgument,
    hard_usd: Annotated[float, typer.Argument(metavar="USD", min=0, help="The amount that is never exceeded.")],
    soft_usd: Annotated[float | None, typer.Option("--soft", min=0, help="USD above which it warns.")] = None,
    period: PeriodOption = None,
    tenant: TenantOption = None,
) -> None:
    """Set a budget, or replace the one there is; what was spent stays spent."""
    made = session.client.budgets.set(kind, name, hard_usd, soft_usd=soft_usd, period=period, tenant=tenant)
    session.terminal.result(made, note=f"{_named(made)}: {made.hard_usd:g} USD, {made.left_usd:g} left.")


@budgets.command(epilog="Example: ossa budgets remove pool security --period day")
@fleet_command
def remove(
    session: Session,
    kind: KindArgument,
    name: NameArgument,
    period: PeriodOption = None,
    tenant: TenantOption = None,
) -> None:
    """Remove a budget."""
    removed = session.client.budgets.remove(kind, name, period=period, tenant=tenant)
    session.terminal.result(removed, note=f"{_named(removed)} is removed.")


def _named(budget: Budget) -> str:
    whose = f" of tenant {budget.tenant}" if budget.tenant else ""
    return f"Budget {budget.kind} {budget.name}{whose} a {budget.period}"


@app.callback()
def cost() -> None:
    """What tasks cost."""


@app.command(epilog="Example: ossa cost report --by agent --since 30d")
@fleet_command
def report(
    session: Session,
    by: Annotated[By, typer.Option("--by", help="What each line sums up.")] = By.TENANT,
    since: Annotated[
        str, typer.Option("--since", help="How many days (7d) or weeks (4w) to look back, today included.")
    ] = "7d",
) -> None:
    """Show tasks, tokens and USD, the dearest first; and what an agent costs a month at this rate."""
    days = _days(since)
    costs = session.client.cost.report(by.value, days=days)
    if session.as_json:
        session.terminal.json(costs)
    else:
        _show(session.terminal, costs)


def _days(since: str) -> int:
    match = _SINCE.fullmatch(since.strip())
    if match is None:
        raise typer.BadParameter("--since is a number of days or weeks, such as 7d or 4w.")
    return int(match[1]) * (7 if match[2] == "w" else 1)


def _show(terminal: Terminal, costs: CostReport) -> None:
    total = CostLine(**{**costs.total.model_dump(), "name": "total"})
    named = [line if line.name else CostLine(**{**line.model_dump(), "name": "(unknown)"}) for line in costs.lines]
    columns = (costs.by, *CostLines.columns[1:])
    terminal.table(columns, CostLines([*named, total]).rows())
    if costs.agent_month_usd is not None:
        terminal.note(
            f"An agent a month: {costs.agent_month_usd:.2f} USD at the rate of the last {costs.days:.2f} days and "
            f"{costs.live_agents} agents; the target is {costs.target_agent_month_usd:g}."
        )


@app.command(epilog="Example: ossa cost proposals --json")
@fleet_command
def proposals(session: Session) -> None:
    """Show what would make the fleet cheaper, with its evidence (--json), and what approved proposals brought."""
    proposals = session.client.cost.proposals()
    if session.as_json:
        session.terminal.json(proposals)
        return
    session.terminal.listing(ProposalRows(proposals.data))
    if proposals.approved:
        session.terminal.listing(MeasuredRows(proposals.approved))


@app.command(epilog="Example: ossa cost approve tier:reviewer:standard")
@fleet_command
def approve(
    session: Session,
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="As `ossa cost proposals` lists it.")],
) -> None:
    """Approve a proposal: the fleet applies it, or the command says what to set."""
    approved = session.client.cost.approve(proposal_id)
    if approved.change:
        session.terminal.result(approved, note=f"Applied: {approved.apply}.")
    else:
        session.terminal.result(approved, text=f"Noted. Now it is for you to set: {approved.apply}")
