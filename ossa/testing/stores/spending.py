"""What tasks spent, in memory: read off the journal."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, date

from ossa.contracts.spending import Approval, Spent, TaskFacts
from ossa.contracts.task import Step, Task, TaskStatus
from ossa.stores.checks import as_json
from ossa.testing.stores.budgets import MemoryBudgets
from ossa.testing.stores.gate import Gate
from ossa.testing.stores.journal import MemoryJournal

Key = tuple[date, str, str, str, str, str]


class MemorySpending:
    """`ossa.contracts.spending.SpendingStore`."""

    def __init__(self, gate: Gate, journal: MemoryJournal, budgets: MemoryBudgets) -> None:
        self._gate = gate
        self._journal = journal
        self._budgets = budgets
        self._approvals: dict[str, Approval] = {}

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        self._gate.check()
        sums: defaultdict[Key, dict[str, float]] = defaultdict(lambda: defaultdict(float))
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
        for day, whose, pool, manifest, usd in self._budgets.doubts():
            sums[day, whose, pool, manifest, "", ""]["in_doubt_usd"] += usd
        names = ("day", "tenant", "pool", "manifest", "model", "tier")
        wanted = sorted(key for key in sums if key[0] >= since and tenant in (None, key[1]))
        return [Spent.model_validate({**dict(zip(names, key, strict=True)), **sums[key]}) for key in wanted]

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        self._gate.check()
        tasks = sorted(self._journal.ended_with_steps(), key=lambda one: one[0].id, reverse=True)
        return [_facts(task, steps) for task, steps in tasks if tenant in (None, task.tenant)][:limit]

    async def approve(self, approval: Approval) -> bool:
        self._gate.check()
        return self._approvals.setdefault(approval.id, approval) is approval

    async def approvals(self) -> list[Approval]:
        self._gate.check()
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
