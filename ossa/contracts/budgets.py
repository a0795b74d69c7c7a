"""Budgets: what may be spent on model calls in a period, and how no call can pass it.

    reserve   before a call: the most it can cost leaves what is left of every budget that applies, at once
    settle    after it: what it did cost is spent, the rest is given back
    recover   of reservations nobody will settle: what a journaled step shows is spent, all else is *in doubt* and
              charged in full, because the provider may have billed it

At all times `spent + reserved + in doubt <= hard` in every budget, for calls that cost no more than was reserved.
Periods are UTC days and months; a call belongs to the period it was reserved in.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from ossa.contracts.value import Value

SubjectKind = Literal["tenant", "pool", "agent", "task"]
Period = Literal["day", "month", "task"]

EVERY_TASK = "*"
"""The name of a budget that each task has for itself."""

MOST_USD = 1e9

MOST_CALL_USD = 1e6
"""What is claimed beyond this for one call is a mistake, and counts as so much."""

MOST_BUDGETS = 200
"""A tenant may set. The operator may set more."""


class Budget(Value):
    """What a subject may spend in a period.

    An agent's name is its manifest's; a task's is its id, or `*` for each task. `tenant`: whose spending counts; None:
    everybody's. `owner`: the tenant whose admins may change it. Above `soft_usd` is warned, above `hard_usd` refused.
    """

    owner: str = Field(min_length=1, max_length=63)
    kind: SubjectKind
    name: str = Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")
    tenant: str | None = Field(default=None, min_length=1, max_length=63)
    period: Period
    hard_usd: float = Field(ge=0, le=MOST_USD, allow_inf_nan=False)
    soft_usd: float | None = Field(default=None, ge=0, le=MOST_USD, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "task") != (self.period == "task"):
            raise ValueError("period is `task` for a budget of kind `task`, and `day` or `month` for all others")
        if self.soft_usd is not None and self.soft_usd > self.hard_usd:
            raise ValueError("soft_usd is at most hard_usd")
        return self

    @property
    def id(self) -> str:
        """The same for the same owner, subject, tenant and period: setting it again replaces it."""
        return f"{self.owner}/{self.subject}/{self.tenant or '*'}/{self.period}"

    @property
    def subject(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def label(self) -> str:
        return label_of(self.subject, self.period)

    def seen_by(self, tenant: str) -> bool:
        """Whether it is the tenant's own, or limits its spending alone."""
        return tenant in (self.owner, self.name if self.kind == "tenant" else self.tenant)

    def counts(self, tenant: str, subjects: tuple[str, ...]) -> bool:
        """Whether a call of this tenant with these subjects (`subjects_of`) is its."""
        return self.subject in subjects and self.tenant in (None, tenant)


class Balance(Value):
    """A budget in its current period. A budget of each task has no one period: all amounts are 0."""

    budget: Budget
    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    in_doubt_usd: float = 0.0
    ends_at: datetime | None = None

    @property
    def left_usd(self) -> float:
        return self.budget.hard_usd - self.spent_usd - self.reserved_usd - self.in_doubt_usd


class Reservation(Value):
    """What is asked for before a call.

    `least_usd` is what the smallest useful call can cost, `most_usd` the whole one. `task_id` and `fence` say who will
    settle it: when the task has another owner, or none, the reservation is recovered; at the latest after `ttl_s`.
    """

    id: str = Field(min_length=1, max_length=256)
    tenant: str
    subjects: tuple[str, ...]
    least_usd: float = Field(ge=0, le=MOST_USD)
    most_usd: float = Field(ge=0, le=MOST_USD)
    task_id: str = ""
    fence: int = 0
    ttl_s: float = Field(default=600.0, gt=0)


class Grant(Value):
    """`usd` may be spent, between the least and the most. `counted`: some budget applies, and a settlement is awaited.

    `warnings` has each budget over its soft limit: its label, and used and reserved as a share of the hard limit.
    """

    usd: float
    counted: bool
    warnings: tuple[tuple[str, float], ...] = ()


class Recovered(Value):
    """`settled` were found in the journal; `in_doubt` were charged in full."""

    settled: int = 0
    in_doubt: int = 0
    in_doubt_usd: float = 0.0


class BudgetStore(Protocol):
    """Budgets and what was spent of them. Each method is one atomic step; all raise `StoreUnavailable`."""

    async def put(self, budget: Budget) -> None:
        """Set or replace. What was spent in the period stays spent."""

    async def budgets(self) -> list[Balance]:
        """All, sorted by id."""

    async def remove(self, budget_id: str) -> None:
        """Raises `NotFound`. Set again in the same period, it goes on with what was spent in it."""

    async def reserve(self, asked: Reservation) -> Grant:
        """Take as much as all budgets that apply leave, up to the most. Raises `BudgetExceeded` below the least.

        A budget counts from the first reservation after it was set. Reserving again under a known id gives the same
        grant and takes nothing.
        """

    async def settle(self, reservation_id: str, usd: float | None) -> bool:
        """Spend `usd` and give the rest back; None: nobody knows, all of it is in doubt.

        Settling again is a no-op, but that a known cost takes the place of a doubt. Returns whether anything changed.
        """

    async def recover(self) -> Recovered:
        """Close open reservations whose task has ended or has another owner, whose owner's lease is over, or whose time
        is. Any number of processes may do so at once.
        """


def subjects_of(*, tenant: str, pool: str, manifest: str, task_id: str) -> tuple[str, ...]:
    """All subjects a call is charged to."""
    return (f"tenant:{tenant}", f"pool:{pool}", f"agent:{manifest}", f"task:{EVERY_TASK}", f"task:{task_id}")


def label_of(subject: str, period: Period) -> str:
    """A budget's name in errors and warnings; `task:*/task` would say no more."""
    return subject if period == "task" else f"{subject}/{period}"


def period_key(period: Period, *, now: datetime, task_id: str) -> str:
    """`2026-11-24`, `2026-11`, or the task's id."""
    if period == "task":
        return task_id
    return now.astimezone(UTC).strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def period_end(period: Period, *, now: datetime) -> datetime | None:
    """None: a task's period ends with the task."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day + timedelta(days=1)
    if period == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return None


class Spent(Value):
    """Ended tasks of one UTC day that have all of these in common; "" where it is not known.

    `in_doubt_usd` was reserved for calls whose cost nobody knows; it is not in `cost_usd`, and has no model and tier.
    """

    day: date
    tenant: str
    pool: str = ""
    manifest: str = ""
    model: str = ""
    tier: str = ""
    tasks: int = 0
    succeeded: int = 0
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    cost_squared: float = Field(default=0.0, description="sum over tasks of the square of each one's cost")
    in_doubt_usd: float = 0.0


class TaskFacts(Value):
    """One ended task, without its texts.

    `question`: a digest, the same for the same question of the same tenant to the same target; `tool_tokens`: of the
    results of tools, roughly; `asynchronous`: nobody waited on the line; `vortex`: as the request said.
    """

    task_id: str
    at: datetime = Field(description="of the request")
    tenant: str
    pool: str = ""
    manifest: str = ""
    tier: str = ""
    succeeded: bool = False
    question: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    saved_tokens: int = 0
    model_calls: int = 0
    tool_tokens: int = 0
    cost_usd: float = 0.0
    asynchronous: bool = False
    given_earlier: bool = False
    vortex: bool | None = None


class Approval(Value):
    """A proposal that was approved, as it stood then. `subject`: the manifest or pool it is about."""

    id: str
    kind: str
    subject: str
    by: str = Field(description="the key's id, or `policy`")
    at: datetime
    proposal: dict[str, Any]


class SpendingStore(Protocol):
    """All raise `StoreUnavailable`. `tenant=None` is for the operator."""

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        """Returns what was spent from `since` on, at most one row for each combination and day."""

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        """Returns those of the newest `limit` tasks that have ended, newest first."""

    async def approve(self, approval: Approval) -> bool:
        """False when that proposal was approved before; the first one stays."""

    async def approvals(self) -> list[Approval]:
        """Newest first."""
