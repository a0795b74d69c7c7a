"""What a report adds up."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from ossa.contracts.budgets import Spent
from ossa.cost.report import report

TODAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def spent(day: int = 24, cost: float = 1.0, **fields: object) -> Spent:
    return Spent.model_validate({"day": date(2026, 11, day), "tenant": "acme", "tasks": 1, "cost_usd": cost, **fields})


def test_lines_are_of_what_was_asked_for_the_dearest_first() -> None:
    rows = [spent(tier="standard"), spent(tier="premium", cost=4.0), spent(day=23, tier="standard", tasks=3)]
    found = report(rows, by="tier", since=TODAY, now=NOON, live_agents=None)
    assert [(line.name, line.tasks, line.cost_usd, line.cost_per_task_usd) for line in found.lines] == [
        ("premium", 1, 4.0, 4.0),
        ("standard", 4, 2.0, 0.5),
    ]
    assert found.agent_month_usd is None


def test_a_doubt_counts_in_the_month_of_an_agent_and_not_in_the_cost() -> None:
    rows = [spent(cost=1.0), spent(tasks=0, cost=0.0, in_doubt_usd=0.5)]
    found = report(rows, by="tenant", since=TODAY, now=NOON, live_agents=10)
    assert (found.total.cost_usd, found.total.in_doubt_usd) == (1.0, 0.5)
    assert found.agent_month_usd == pytest.approx(1.5 / 0.5 * 30 / 10)


def test_days_before_anything_was_spent_do_not_make_the_rate_look_low() -> None:
    found = report([spent(day=23)], by="tenant", since=date(2026, 11, 1), now=NOON, live_agents=1)
    assert found.days == pytest.approx(1.5)


def test_nothing_spent_is_a_report_all_the_same() -> None:
    found = report([], by="agent", since=TODAY, now=NOON, live_agents=0)
    assert (found.lines, found.total.cost_per_task_usd, found.agent_month_usd) == ((), None, None)
