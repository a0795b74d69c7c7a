"""What an approved proposal brought: cost a task before and after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta

from pydantic import Field

from ossa.contracts.spending import Approval, Spent
from ossa.contracts.value import Value
from ossa.cost.optimiser.intervals import mean_difference

DAYS = 14
"""Whole days looked at on each side; the day of the approval is on neither."""


class Measured(Value):
    """Cost a task of the proposal's manifest in USD. The difference is after minus before; null with fewer than two
    tasks on a side. Below 0 at its high end: it is cheaper."""

    approval: Approval
    tasks_before: int
    tasks_after: int
    before_usd: float | None
    after_usd: float | None
    difference_low_usd: float | None = Field(description="of the interval at 95%")
    difference_high_usd: float | None


def measure(approval: Approval, spent: Sequence[Spent]) -> Measured:
    """Args:
    spent: of the days around the approval, all manifests.
    """
    day = approval.at.astimezone(UTC).date()
    its = [one for one in spent if approval.kind != "tier" or one.manifest == approval.subject]
    before = [one for one in its if day - timedelta(days=DAYS) <= one.day < day]
    after = [one for one in its if day < one.day <= day + timedelta(days=DAYS)]
    found = mean_difference(*_sums(after), *_sums(before))
    return Measured(
        approval=approval,
        tasks_before=_sums(before)[2],
        tasks_after=_sums(after)[2],
        before_usd=_mean(before),
        after_usd=_mean(after),
        difference_low_usd=found[0] if found else None,
        difference_high_usd=found[1] if found else None,
    )


def _sums(spent: Sequence[Spent]) -> tuple[float, float, int]:
    return (
        sum(one.cost_usd for one in spent),
        sum(one.cost_squared for one in spent),
        sum(one.tasks for one in spent),
    )


def _mean(spent: Sequence[Spent]) -> float | None:
    cost, _, tasks = _sums(spent)
    return cost / tasks if tasks else None
