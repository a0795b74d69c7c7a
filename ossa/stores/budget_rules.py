"""Decisions that every budget store makes alike. Money is whole billionths of a dollar, so that sums are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ossa.contracts.budgets import MOST_CALL_USD, MOST_USD, Grant, Period, label_of, period_end
from ossa.contracts.errors import BudgetExceeded

NANO = 1_000_000_000


def nanos(usd: float) -> int:
    """Never negative, at most `MOST_USD`, so that sums of a few fit the columns; what is no number is nothing."""
    return round(min(usd, MOST_USD) * NANO) if usd > 0 else 0


def cost_nanos(usd: float) -> int:
    """Returns the cost of one model call; a claim beyond reason counts as `MOST_CALL_USD`."""
    return min(nanos(usd), nanos(MOST_CALL_USD))


def usd(nanos: int) -> float:
    return nanos / NANO


SOON_S = 2.0
"""After which other calls' reservations may have been given back."""

CLOSED_KEPT_S = 86_400.0
"""A closed reservation is remembered so long, for those who settle it again."""

TASKS_KEPT_S = 7 * 86_400.0
"""So is what a task spent of its own budget."""


MARKS_KEPT_S = 62 * 86_400.0
"""And that a limit was reached in a period: longer than any but a task's."""


@dataclass(frozen=True, slots=True)
class Account:
    """One budget in one period, in billionths of a dollar. `used`: spent and in doubt; `reserved`: before this call."""

    subject: str
    period: Period
    hard: int
    soft: int | None
    used: int
    reserved: int

    @property
    def left(self) -> int:
        return self.hard - self.used - self.reserved

    @property
    def label(self) -> str:
        return label_of(self.subject, self.period)


def granted(accounts: Sequence[Account], *, least: int, most: int) -> int | None:
    """Returns the amount that all accounts can give; None when that is less than the least."""
    amount = min([most, *(account.left for account in accounts)])
    return amount if amount >= least else None


def grant(accounts: Sequence[Account], nanos: int, *, repeated: bool = False) -> Grant:
    """The answer to a reservation. `repeated`: the accounts hold it already."""
    added = 0 if repeated else nanos
    over = [
        (account.label, (account.used + account.reserved + added) / max(1, account.hard))
        for account in accounts
        if account.soft is not None and account.used + account.reserved + added > account.soft
    ]
    return Grant(usd=usd(nanos), counted=bool(accounts), warnings=tuple(over))


def reached(accounts: Sequence[Account], nanos: int | None, *, least: int) -> list[tuple[int, bool]]:
    """The places of accounts whose limit a reservation has met, and whether it is the hard one.

    Args:
        nanos: what was granted; None: it was refused.
    """
    if nanos is None:
        return [(place, True) for place, account in enumerate(accounts) if account.left < least]
    return [
        (place, False)
        for place, account in enumerate(accounts)
        if account.soft is not None and account.used + account.reserved + nanos > account.soft
    ]


def refusal(accounts: Sequence[Account], *, least: int, now: datetime) -> BudgetExceeded:
    """The error that names the budget with the least left."""
    account = min(accounts, key=lambda one: one.left)
    ends = period_end(account.period, now=now)
    wait_s = (ends - now).total_seconds() if ends is not None else None
    if account.hard - account.used >= least:
        wait_s = SOON_S
    return BudgetExceeded(
        f"The budget {account.label} of {usd(account.hard):.6g} USD has {usd(max(0, account.left)):.6g} USD left; "
        f"the next model call may cost {usd(least):.6g} USD and more.",
        param=f"budgets.{account.label}",
        retry_after_s=wait_s,
        details={"hard_usd": usd(account.hard), "used_usd": usd(account.used), "reserved_usd": usd(account.reserved)},
    )
