"""Money of the tasks a replica owns: reserved before a model call, settled once its step is in the journal.

What a crash leaves behind is recovered by whichever replica looks next (`BudgetStore.recover`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from ossa.contracts.budgets import Balance, Budget, BudgetStore, Grant, Reservation, subjects_of
from ossa.contracts.errors import AgentLost, BudgetExceeded, OssaError, StoreUnavailable
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Outcome, Step, Task
from ossa.contracts.turn import CostRange, TurnCall, TurnCallResult
from ossa.gateway.extensions.spending.metrics import BudgetMetrics
from ossa.gateway.hooks import Run, TaskHook
from ossa.resilience.backoff import Backoff, until_answered
from ossa.routing import Conditions, FleetIndex
from ossa.routing.features import RoutingRequest

logger = logging.getLogger(__name__)

T = TypeVar("T")
READ_EVERY_S = 1.0
RECOVER_EVERY = 5
"""Readings between two recoveries."""

CALL_GRACE_S = 60.0
"""A reservation outlives its turn's time by so long."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0


class Spending:
    """One a replica. Without a store nothing has a budget."""

    def __init__(
        self,
        store: BudgetStore | None = None,
        metrics: BudgetMetrics | None = None,
        *,
        operator_tenant: str = "default",
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._book = BudgetBook()
        self._operator_tenant = operator_tenant
        self._settling: set[asyncio.Task[None]] = set()

    def of(self, task: Task) -> TaskSpending:
        return TaskSpending(self, task)

    async def run_forever(self) -> None:
        """Read the budgets and recover lost reservations, for ever. Raises `StoreUnavailable`."""
        rounds = 0
        while True:
            await self.read()
            if rounds % RECOVER_EVERY == 0:
                await self.recover()
            rounds += 1
            await asyncio.sleep(READ_EVERY_S)

    async def read(self) -> None:
        if self._store is None:
            self._book.write(())
            return
        balances = await self._store.budgets()
        self._book.write(balances)
        if self._metrics is not None:
            self._metrics.show(balances)

    async def recover(self) -> None:
        if self._store is None:
            return
        recovered = await self._store.recover()
        if self._metrics is not None:
            self._metrics.found(recovered)
        if recovered.in_doubt:
            logger.warning(
                "budget_in_doubt", extra={"reservations": recovered.in_doubt, "cost_usd": recovered.in_doubt_usd}
            )

    async def close(self, *, within_s: float) -> None:
        """Let settlements end; those that do not are recovered from the journal."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=within_s)
        for task in tuple(self._settling):
            task.cancel()

    def touches(self, task: Task, agent: AgentInfo) -> bool:
        return self._store is not None and self._book.touches(
            tenant=task.tenant, pool=agent.pool, manifest=agent.manifest, task_id=task.id
        )

    def left_usd(self, tenant: str, agent: AgentInfo) -> float | None:
        """What is left of the tightest budget of one more task of this agent, as of the last second."""
        return self._book.left_usd(tenant=tenant, pool=agent.pool, manifest=agent.manifest)

    async def reserve(self, asked: Reservation) -> Grant:
        """Waits for a store that is away, for as long as the turn lets it. Raises `BudgetExceeded`.

        Cancelled, it leaves nothing reserved: nobody heard the grant, so no call is made from it.
        """
        assert self._store is not None
        store = self._store
        landing = asyncio.create_task(_until_answered(lambda: store.reserve(asked)), name="reserve")
        try:
            grant = await asyncio.shield(landing)
        except asyncio.CancelledError:
            self._beside(self._take_back(store, asked.id, landing))
            raise
        except BudgetExceeded as refusal:
            if self._metrics is not None:
                self._metrics.reservations.labels("refused").inc()
            raise self._as_told(refusal, asked) from None
        if self._metrics is not None:
            self._metrics.granted(grant, asked.most_usd)
        return grant.model_copy(update={"warnings": self._told(grant, asked)}) if grant.warnings else grant

    async def _take_back(self, store: BudgetStore, reservation_id: str, landing: asyncio.Task[Grant]) -> None:
        with suppress(OssaError):  # what was refused is settled in vain
            await landing
        await self._settle(store, reservation_id, 0.0, None)

    def _as_told(self, refusal: BudgetExceeded, asked: Reservation) -> BudgetExceeded:
        """Name and amounts are for those who may list the budget."""
        label = (refusal.param or "").removeprefix("budgets.")
        if self._tells(asked, label, hard_usd=refusal.details.get("hard_usd")):
            return refusal
        return BudgetExceeded(
            "A budget of the operator has too little left for the next model call.",
            param="budgets",
            retry_after_s=refusal.retry_after_s,
        )

    def _told(self, grant: Grant, asked: Reservation) -> tuple[tuple[str, float], ...]:
        return tuple((label, share) for label, share in grant.warnings if self._tells(asked, label))

    def _tells(self, asked: Reservation, label: str, *, hard_usd: float | None = None) -> bool:
        return asked.tenant == self._operator_tenant or self._book.tells(asked.tenant, label, hard_usd=hard_usd)

    def settle(self, reservation_id: str, usd: float | None, *, reserved_usd: float | None = None) -> None:
        """Beside the work: the answer does not wait for it."""
        if self._store is None:
            return
        self._beside(self._settle(self._store, reservation_id, usd, reserved_usd))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="settle")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(
        self, store: BudgetStore, reservation_id: str, usd: float | None, reserved_usd: float | None
    ) -> None:
        try:
            changed = await _until_answered(lambda: store.settle(reservation_id, usd))
        except OssaError:
            logger.exception("budget_not_settled", extra={"reservation": reservation_id})
            return
        if not changed or self._metrics is None:
            return
        if usd is None:
            self._metrics.in_doubt.inc(reserved_usd or 0.0)
            return
        self._metrics.settled.inc(max(0.0, usd))
        if reserved_usd is not None and usd > reserved_usd + 1e-9:
            self._metrics.overrun.inc(usd - reserved_usd)
            logger.warning(
                "budget_overrun", extra={"reservation": reservation_id, "cost_usd": usd, "reserved_usd": reserved_usd}
            )


class TaskSpending:
    """One owner's reservations for one task, under one fence."""

    def __init__(self, spending: Spending, task: Task) -> None:
        self._spending = spending
        self._task = task
        self._open: dict[str, float] = {}
        self._count = 0
        self.over_soft: dict[str, float] = {}
        """Budgets above their soft limit, as a share of the hard one."""

    def applies(self, agent: AgentInfo) -> bool:
        """Whether the turn has to reserve. A budget that is set later counts from the task's next turn on."""
        return self._spending.touches(self._task, agent)

    async def reserve(self, cost_range: CostRange, agent: AgentInfo, *, left_s: float) -> TurnCallResult:
        """Raises `BudgetExceeded`."""
        task = self._task
        self._count += 1
        asked = Reservation(
            id=f"{task.id}:{task.fence}:{self._count}",
            tenant=task.tenant,
            subjects=subjects_of(tenant=task.tenant, pool=agent.pool, manifest=agent.manifest, task_id=task.id),
            least_usd=cost_range.least_usd,
            most_usd=cost_range.most_usd,
            task_id=task.id,
            fence=task.fence,
            ttl_s=left_s + CALL_GRACE_S,
        )
        grant = await self._spending.reserve(asked)
        self._warn(grant)
        if not grant.counted:
            return TurnCallResult(granted_usd=grant.usd)
        self._open[asked.id] = grant.usd  # from here on the agent may call from it
        return TurnCallResult(granted_usd=grant.usd, reservation=asked.id)

    def unused(self, reservation_id: str) -> None:
        """The call was refused, or never sent."""
        if reservation_id in self._open:
            self._spending.settle(reservation_id, 0.0, reserved_usd=self._open.pop(reservation_id))

    def committed(self, steps: Sequence[Step]) -> None:
        """These steps are in the journal; also those of an earlier owner, which it perhaps did not settle."""
        for step in steps:
            name = step.payload.get("reservation") if step.kind == "model" else None
            if isinstance(name, str):
                self._spending.settle(name, step.usage.cost_usd, reserved_usd=self._open.pop(name, None))

    def doubt(self) -> None:
        """What is open now was perhaps billed: the agent was lost, the call failed or was cut off."""
        while self._open:
            name, reserved_usd = self._open.popitem()
            self._spending.settle(name, None, reserved_usd=reserved_usd)

    def _warn(self, grant: Grant) -> None:
        for label, share in grant.warnings:
            if label not in self.over_soft:
                logger.warning("budget_over_soft_limit", extra={"task_id": self._task.id, "budget": label})
            self.over_soft[label] = share


async def _until_answered(attempt: Callable[[], Awaitable[T]]) -> T:
    return await until_answered(attempt, StoreUnavailable, Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, jitter=0.5))


class BudgetBook:
    """A replica's copy of the budgets. Before the first one everything counts as budgeted, and the store decides."""

    def __init__(self) -> None:
        self._tenants: dict[str, set[str | None]] | None = None
        self._left: dict[str, list[tuple[str | None, float]]] = {}
        self._labelled: dict[str, list[Budget]] = {}

    def write(self, balances: Sequence[Balance]) -> None:
        tenants: defaultdict[str, set[str | None]] = defaultdict(set)
        left: defaultdict[str, list[tuple[str | None, float]]] = defaultdict(list)
        labelled: defaultdict[str, list[Budget]] = defaultdict(list)
        for balance in balances:
            labelled[balance.budget.label].append(balance.budget)
            tenants[balance.budget.subject].add(balance.budget.tenant)
            left[balance.budget.subject].append((balance.budget.tenant, balance.left_usd))
        self._tenants = dict(tenants)
        self._left = dict(left)
        self._labelled = dict(labelled)

    def touches(self, *, tenant: str, pool: str, manifest: str, task_id: str) -> bool:
        """Whether any budget applies to a call of these."""
        known = self._tenants
        if known is None:
            return True
        if not known:
            return False
        subjects = subjects_of(tenant=tenant, pool=pool, manifest=manifest, task_id=task_id)
        return any(not known[subject].isdisjoint((None, tenant)) for subject in subjects if subject in known)

    def tells(self, tenant: str, label: str, *, hard_usd: float | None = None) -> bool:
        """Whether a tenant may see every budget that this can be: those that count its calls under this label.

        One that is not known here is not told. `hard_usd`: of its limit, where that is known.
        """
        found = [
            one
            for one in self._labelled.get(label, ())
            if one.tenant in (None, tenant)
            and (hard_usd is None or math.isclose(one.hard_usd, hard_usd, rel_tol=1e-12, abs_tol=1e-9))
        ]
        return bool(found) and all(one.seen_by(tenant) for one in found)

    def left_usd(self, *, tenant: str, pool: str, manifest: str) -> float | None:
        """What the tightest budget of one more task had left when it was last read; None: nothing bounds it."""
        if not self._left:
            return None
        subjects = subjects_of(tenant=tenant, pool=pool, manifest=manifest, task_id="")
        found = [left for one in subjects for owner, left in self._left.get(one, ()) if owner in (None, tenant)]
        return min(found) if found else None


class SpendingHook(TaskHook):
    """Reserves and settles for the runs of a replica, and keeps routing from agents that no budget pays for."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending
        self._runs: dict[Run, TaskSpending] = {}

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        tenant = request.tenant
        return replace(conditions, budget_left_usd=lambda agent: self._spending.left_usd(tenant, agent))

    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        return {"budgeted": run.agent is not None and self._of(run).applies(run.agent)}

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        if call.reserve is not None and run.agent is not None:
            spending = self._of(run)
            granted = await spending.reserve(call.reserve, run.agent, left_s=run.left_s())
            run.over_soft.update(spending.over_soft)
            return granted
        if call.unused:
            self._of(run).unused(call.unused)
            return TurnCallResult()
        return None

    def committed(self, run: Run, steps: Sequence[Step]) -> None:
        self._of(run).committed(steps)

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        self._of(run).doubt()

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._of(run).doubt()

    def closed(self, run: Run) -> None:
        self._runs.pop(run, None)

    def _of(self, run: Run) -> TaskSpending:
        spending = self._runs.get(run)
        if spending is None:
            spending = self._runs[run] = self._spending.of(run.task)
        return spending
