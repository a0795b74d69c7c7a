"""Budgets in memory, and what tasks spent: read off the journal."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ossa.contracts.budgets import (
    Approval,
    Balance,
    Budget,
    Grant,
    Recovered,
    Reservation,
    Spent,
    TaskFacts,
    period_end,
    period_key,
)
from ossa.contracts.errors import NotFound
from ossa.contracts.task import Step, Task, TaskStatus
from ossa.stores import store_facts
from ossa.stores.budget_rules import CLOSED_KEPT_S, Account, cost_nanos, grant, granted, nanos, reached, refusal, usd
from ossa.stores.checks import as_json
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate, Gated
from ossa.testing.stores.journal import Clock, MemoryJournal

Key = tuple[str, str]
"""A budget's id and its period's key."""


@dataclass(slots=True)
class _Sums:
    reserved: int = 0
    spent: int = 0
    in_doubt: int = 0


@dataclass(slots=True)
class _Held:
    asked: Reservation
    amount: int
    keys: list[Key]
    expires_at: datetime
    state: Literal["open", "settled", "in_doubt"] = "open"
    closed_at: datetime | None = None


class MemoryBudgets(Gated):
    """`ossa.contracts.budgets.BudgetStore`. No call awaits inside, so each is atomic."""

    def __init__(self, gate: Gate, clock: Clock, journal: MemoryJournal, facts: MemoryFacts) -> None:
        self._gate = gate
        self._clock = clock
        self._journal = journal
        self._facts = facts
        self._marked: set[tuple[str, str, bool]] = set()
        self._budgets: dict[str, Budget] = {}
        self._sums: dict[Key, _Sums] = {}
        self._held: dict[str, _Held] = {}

    async def put(self, budget: Budget) -> None:
        if self._budgets.get(budget.id) != budget:
            self._budgets[budget.id] = budget
            self._facts.add_facts([store_facts.of_budget(budget)])

    async def budgets(self) -> list[Balance]:
        now = self._clock()
        return [self._balance(self._budgets[name], now) for name in sorted(self._budgets)]

    async def remove(self, budget_id: str) -> None:
        gone = self._budgets.pop(budget_id, None)
        if gone is None:
            raise NotFound(f"There is no budget {budget_id}.")
        self._facts.add_facts([store_facts.of_removed_budget(budget_id, gone)])

    async def reserve(self, asked: Reservation) -> Grant:
        now = self._clock()
        known = self._held.get(asked.id)
        keys = known.keys if known else self._keys(asked, now)
        accounts = [self._account(key) for key in keys if key[0] in self._budgets]
        if known is not None:
            return grant(accounts, known.amount, repeated=True).model_copy(update={"counted": True})
        least, most = nanos(asked.least_usd), nanos(asked.most_usd)
        amount = granted(accounts, least=least, most=most)
        for place, hard in reached(accounts, amount, least=least):
            self._mark(keys[place], hard=hard)
        if amount is None:
            raise refusal(accounts, least=least, now=now)
        if keys:
            self._held[asked.id] = _Held(asked, amount, keys, now + timedelta(seconds=asked.ttl_s))
            for key in keys:
                self._sums.setdefault(key, _Sums()).reserved += amount
        return grant(accounts, amount)

    async def settle(self, reservation_id: str, usd: float | None) -> bool:
        return self._settle(reservation_id, usd)

    async def recover(self) -> Recovered:
        now = self._clock()
        settled = in_doubt = doubted = 0
        for name, held in list(self._held.items()):
            if held.state != "open":
                if held.closed_at is not None and (now - held.closed_at).total_seconds() > CLOSED_KEPT_S:
                    del self._held[name]
                continue
            task = held.asked.task_id
            if held.expires_at > now and (not task or self._journal.holds(task, held.asked.fence)):
                continue
            cost = self._journal.cost_of_reservation(task, name)
            self._settle(name, cost)
            settled += cost is not None
            in_doubt += cost is None
            doubted += held.amount if cost is None else 0
        return Recovered(settled=settled, in_doubt=in_doubt, in_doubt_usd=usd(doubted))

    def doubts(self) -> list[tuple[date, str, str, str, float]]:
        """(day, tenant, pool, manifest, USD) of each reservation in doubt."""
        found = []
        for held in self._held.values():
            if held.state == "in_doubt" and held.closed_at is not None:
                named = dict(subject.split(":", 1) for subject in held.asked.subjects)
                day = held.closed_at.astimezone(UTC).date()
                found.append((day, held.asked.tenant, named.get("pool", ""), named.get("agent", ""), usd(held.amount)))
        return found

    def _settle(self, name: str, cost: float | None) -> bool:
        held = self._held.get(name)
        if held is None or held.state == "settled" or (held.state == "in_doubt" and cost is None):
            return False
        for key in held.keys:
            sums = self._sums[key]
            if held.state == "open":
                sums.reserved -= held.amount
            else:
                sums.in_doubt -= held.amount
            if cost is None:
                sums.in_doubt += held.amount
            else:
                sums.spent += cost_nanos(cost)
        held.state = "settled" if cost is not None else "in_doubt"
        held.closed_at = self._clock()
        return True

    def _mark(self, key: Key, *, hard: bool) -> None:
        if (*key, hard) not in self._marked:
            self._marked.add((*key, hard))
            self._facts.add_facts([store_facts.of_limit(self._budgets[key[0]], key[1], hard=hard)])

    def _keys(self, asked: Reservation, now: datetime) -> list[Key]:
        return [
            (name, period_key(budget.period, now=now, task_id=asked.task_id))
            for name, budget in sorted(self._budgets.items())
            if budget.counts(asked.tenant, asked.subjects)
        ]

    def _account(self, key: Key) -> Account:
        budget, sums = self._budgets[key[0]], self._sums.get(key, _Sums())
        return Account(
            subject=budget.subject,
            period=budget.period,
            hard=nanos(budget.hard_usd),
            soft=None if budget.soft_usd is None else nanos(budget.soft_usd),
            used=sums.spent + sums.in_doubt,
            reserved=sums.reserved,
        )

    def _balance(self, budget: Budget, now: datetime) -> Balance:
        # A task's budget that names no task has no account of that key.
        sums = self._sums.get((budget.id, period_key(budget.period, now=now, task_id=budget.name)), _Sums())
        return Balance(
            budget=budget,
            spent_usd=usd(sums.spent),
            reserved_usd=usd(sums.reserved),
            in_doubt_usd=usd(sums.in_doubt),
            ends_at=period_end(budget.period, now=now),
        )


Day = tuple[date, str, str, str, str, str]


class MemorySpending(Gated):
    """`ossa.contracts.budgets.SpendingStore`."""

    def __init__(self, gate: Gate, journal: MemoryJournal, budgets: MemoryBudgets, facts: MemoryFacts) -> None:
        self._gate = gate
        self._facts = facts
        self._journal = journal
        self._budgets = budgets
        self._approvals: dict[str, Approval] = {}

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        sums: defaultdict[Day, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for task in self._journal.ever_ended():
            if task.outcome is None or task.finished_at is None:
                continue
            out = task.outcome
            day = task.finished_at.astimezone(UTC).date()
            key = (day, task.tenant, out.pool or "", out.manifest or "", out.model or "", out.tier or "")
            found = sums[key]
            found["tasks"] += 1
            found["succeeded"] += out.status is TaskStatus.SUCCEEDED
            found["cost_squared"] += out.usage.cost_usd**2
            for name, amount in out.usage.model_dump().items():
                found[name] += amount
        for day, whose, pool, manifest, amount_usd in self._budgets.doubts():
            sums[day, whose, pool, manifest, "", ""]["in_doubt_usd"] += amount_usd
        names = ("day", "tenant", "pool", "manifest", "model", "tier")
        wanted = sorted(key for key in sums if key[0] >= since and tenant in (None, key[1]))
        return [Spent.model_validate({**dict(zip(names, key, strict=True)), **sums[key]}) for key in wanted]

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        tasks = sorted(self._journal.ended_with_steps(), key=lambda one: one[0].id, reverse=True)
        return [_facts(task, steps) for task, steps in tasks if tenant in (None, task.tenant)][:limit]

    async def approve(self, approval: Approval) -> bool:
        if approval.id in self._approvals:
            return False
        self._approvals[approval.id] = approval
        self._facts.add_facts([store_facts.of_approval(approval)])
        return True

    async def approvals(self) -> list[Approval]:
        return sorted(self._approvals.values(), key=lambda one: (-one.at.timestamp(), one.id))


def _facts(task: Task, steps: list[Step]) -> TaskFacts:
    out = task.outcome
    assert out is not None
    asked = task.request.model_copy(update={"parameters": {}, "metadata": {}})
    tools = sum(len(as_json(step)) // 4 for step in steps if step.kind == "tool_result")
    return TaskFacts(
        task_id=task.id,
        at=task.created_at,
        tenant=task.tenant,
        pool=out.pool or "",
        manifest=out.manifest or "",
        tier=out.tier or "",
        succeeded=out.status is TaskStatus.SUCCEEDED,
        question=hashlib.md5(task.tenant.encode() + as_json(asked), usedforsecurity=False).hexdigest(),
        prompt_tokens=out.usage.prompt_tokens,
        completion_tokens=out.usage.completion_tokens,
        saved_tokens=out.usage.saved_tokens,
        model_calls=out.usage.model_calls,
        vortex=task.request.vortex,
        tool_tokens=tools,
        cost_usd=out.usage.cost_usd,
        asynchronous=task.request.asynchronous,
        given_earlier=out.earlier is not None,
    )
