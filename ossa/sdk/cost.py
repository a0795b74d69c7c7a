"""Budgets, and what tasks cost: `client.budgets` and `client.cost`. They need a key with the scope `admin`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from ossa.sdk.blocking import IO, Calls, call
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received

BUDGETS = "/api/v1/budgets"
PROPOSALS = "/api/v1/cost/proposals"


class Budget(Received):
    """A budget in its current period; amounts in USD. `tenant` None: everybody's spending counts."""

    id: str
    kind: str
    name: str
    period: str
    owner: str = ""
    tenant: str | None = None
    hard_usd: float
    soft_usd: float | None = None
    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    in_doubt_usd: float = 0.0
    left_usd: float = 0.0
    ends_at: datetime | None = None


class Budgets(Listing[Budget]):
    columns = (
        "kind", "name", "tenant", "period", "hard_usd", "soft_usd", "spent_usd", "reserved_usd", "in_doubt_usd",
        "left_usd",
    )  # fmt: skip


class CostLine(Received):
    """Ended tasks of one name. `in_doubt_usd` is not in `cost_usd`."""

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
    cost_per_task_usd: float | None = None


class CostLines(Listing[CostLine]):
    columns = (
        "name", "tasks", "prompt_tokens", "completion_tokens", "cached_tokens", "saved_tokens", "cost_usd",
        "cost_per_task_usd", "in_doubt_usd",
    )  # fmt: skip


class CostReport(Received):
    """`agent_month_usd`: 30 days of an agent at the rate of these; None for a key that sees its tenant alone."""

    by: str
    since: date
    days: float
    lines: tuple[CostLine, ...] = ()
    total: CostLine
    live_agents: int | None = None
    agent_month_usd: float | None = None
    target_agent_month_usd: float = 125.0


class Proposal(Received):
    """A change that makes the fleet cheaper. `change`: what the fleet does itself; else `apply` says what to set."""

    id: str
    kind: str
    subject: str = "*"
    title: str = ""
    saving_usd_month: float | None = None
    experiment: bool = False
    evidence: dict[str, Any] = {}
    apply: str = ""
    change: dict[str, Any] = {}


class MeasuredChange(Received):
    """Cost a task before and after an approved proposal, and the 95% interval of the difference, in USD."""

    approval: dict[str, Any]
    tasks_before: int = 0
    tasks_after: int = 0
    before_usd: float | None = None
    after_usd: float | None = None
    difference_low_usd: float | None = None
    difference_high_usd: float | None = None

    @property
    def id(self) -> str:
        return str(self.approval.get("id", ""))


class ProposalRows(Listing[Proposal]):
    columns = ("id", "saving_usd_month", "experiment", "title", "apply")


class MeasuredRows(Listing[MeasuredChange]):
    columns = (
        "id", "tasks_before", "tasks_after", "before_usd", "after_usd", "difference_low_usd",
        "difference_high_usd",
    )  # fmt: skip


class Proposals(Received):
    """The largest saving first; `approved`: what earlier ones brought."""

    data: tuple[Proposal, ...] = ()
    approved: tuple[MeasuredChange, ...] = ()


class BudgetCalls(Calls[IO]):
    """`client.budgets`.

    A budget's kind is `tenant`, `pool`, `agent` (a manifest's name) or `task` (`*` for every task).
    """

    @call
    async def list(self) -> Budgets:
        """Lists budgets, and what is used of them."""
        return await self._exchange.send(Budgets, Request("GET", BUDGETS))

    @call
    async def set(
        self,
        kind: str,
        name: str,
        hard_usd: float,
        *,
        soft_usd: float | None = None,
        period: str | None = None,
        tenant: str | None = None,
    ) -> Budget:
        """Sets or replaces a budget. `period`: `day`, `month` (the default), or `task` for tasks."""
        body = {"kind": kind, "name": name, "hard_usd": hard_usd}
        body |= given(soft_usd=soft_usd, period=period, tenant=tenant)
        return await self._exchange.send(Budget, Request("PUT", BUDGETS, json=body))

    @call
    async def remove(self, kind: str, name: str, *, period: str | None = None, tenant: str | None = None) -> Budget:
        """Removes a budget, and returns it as it was."""
        params = given(kind=kind, name=name, period=period, tenant=tenant)
        return await self._exchange.send(Budget, Request("DELETE", BUDGETS, params, repeatable=False))


class CostCalls(Calls[IO]):
    """`client.cost`."""

    @call
    async def report(self, by: str = "tenant", *, days: int = 7) -> CostReport:
        """Sums costs by `tenant`, `pool`, `agent`, `model` or `tier` over the last UTC days, today included."""
        return await self._exchange.send(CostReport, Request("GET", "/api/v1/cost/report", {"by": by, "days": days}))

    @call
    async def proposals(self) -> Proposals:
        """Returns what would make the fleet cheaper; needs the scope `fleet:write`, as `approve` does."""
        return await self._exchange.send(Proposals, Request("GET", PROPOSALS))

    @call
    async def approve(self, proposal_id: str) -> Proposal:
        """Has a proposal applied, where the fleet can; it is measured from then on."""
        return await self._exchange.send(
            Proposal, Request("POST", path_of(PROPOSALS, proposal_id, "approve"), repeatable=False)
        )
