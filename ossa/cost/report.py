"""Reports what tasks cost, grouped, and what an agent costs a month. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import Literal

from pydantic import Field

from ossa.contracts.budgets import Spent
from ossa.contracts.value import Value

By = Literal["tenant", "pool", "agent", "model", "tier"]

MONTH_DAYS = 30.0
TARGET_AGENT_MONTH_USD = 125.0
"""An agent may cost so much a month by the mission."""

SHORTEST_DAYS = 1 / 24

_NAMES: dict[By, Callable[[Spent], str]] = {
    "tenant": lambda spent: spent.tenant,
    "pool": lambda spent: spent.pool,
    "agent": lambda spent: spent.manifest,
    "model": lambda spent: spent.model,
    "tier": lambda spent: spent.tier,
}


class ReportLine(Value):
    """Ended tasks of one name; "" where the name is not known. `in_doubt_usd` is not in `cost_usd`."""

    name: str
    tasks: int = 0
    succeeded: int = 0
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    in_doubt_usd: float = 0.0
    cost_per_task_usd: float | None = Field(default=None, description="null without a task")


class CostReport(Value):
    """The dearest line first. An agent's name is its manifest's.

    `days`: from the first midnight with spending until now; `agent_month_usd`: cost and doubts of those days, carried
    on for 30 days, over the live agents.
    """

    by: By
    since: date
    days: float
    lines: tuple[ReportLine, ...]
    total: ReportLine
    live_agents: int | None = Field(default=None, description="null for who sees only a part of the fleet")
    agent_month_usd: float | None = None
    target_agent_month_usd: float = TARGET_AGENT_MONTH_USD


def report(spent: Sequence[Spent], *, by: By, since: date, now: datetime, live_agents: int | None) -> CostReport:
    """Groups what was spent on `since` and later days."""
    groups: dict[str, list[Spent]] = {}
    for row in spent:
        groups.setdefault(_NAMES[by](row), []).append(row)
    lines = [_line(name, rows) for name, rows in groups.items()]
    days = elapsed_days(spent, since=since, now=now)
    total = _line("", spent)
    month = (total.cost_usd + total.in_doubt_usd) / days * MONTH_DAYS
    return CostReport(
        by=by,
        since=since,
        days=days,
        lines=tuple(sorted(lines, key=lambda line: (-line.cost_usd - line.in_doubt_usd, line.name))),
        total=total,
        live_agents=live_agents,
        agent_month_usd=month / live_agents if live_agents else None,
    )


def elapsed_days(spent: Sequence[Spent], *, since: date, now: datetime) -> float:
    """From the first midnight with spending, not before `since`, until now."""
    first = max(since, min((row.day for row in spent), default=since))
    return max(SHORTEST_DAYS, (now - datetime.combine(first, time(), UTC)).total_seconds() / 86_400)


def _line(name: str, spent: Sequence[Spent]) -> ReportLine:
    summed = [field for field in ReportLine.model_fields if field in Spent.model_fields]
    line = ReportLine(name=name, **{field: sum(getattr(row, field) for row in spent) for field in summed})
    return line.model_copy(update={"cost_per_task_usd": line.cost_usd / line.tasks if line.tasks else None})
