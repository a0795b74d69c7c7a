"""Budgets: money is reserved before a model call and settled once the call's step is in the journal."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.budgets import (
    MOST_BUDGETS,
    MOST_USD,
    Balance,
    Budget,
    BudgetStore,
    Grant,
    Period,
    Recovered,
    Reservation,
    SubjectKind,
    subjects_of,
)
from ossa.contracts.errors import (
    AgentLost,
    BudgetExceeded,
    Forbidden,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    OssaError,
    StoreUnavailable,
)
from ossa.contracts.fleet import POOL_ALIASES, AgentInfo
from ossa.contracts.task import Outcome, Step, Task
from ossa.contracts.turn import CostRange, TurnCall, TurnCallResult
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import Closed
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension, Run, TaskHook
from ossa.observability import AtMost, MetricGroup, counter, gauge
from ossa.resilience.backoff import Backoff, until_answered
from ossa.routing import Conditions, FleetIndex
from ossa.routing.index import RoutingRequest

SERIES_MAX = 1000
"""Budgets with series of their own, at most."""


class BudgetMetrics(MetricGroup):
    """Amounts of a budget are the whole fleet's, in its current period."""

    reservations = counter(
        "ossa_budget_reservations_total", "Asked for, by outcome", outcome=("granted", "shrunk", "refused")
    )
    settled = counter("ossa_budget_settled_usd_total", "Cost of calls that had been reserved for")
    overrun = counter("ossa_budget_overrun_usd_total", "Cost beyond what was reserved")
    in_doubt = counter("ossa_budget_in_doubt_usd_total", "Charged in full: cost not known")
    recovered = counter(
        "ossa_budget_recovered_total", "Reservations closed for an owner that was lost", as_=("settled", "in_doubt")
    )
    warnings = counter("ossa_budget_warnings_total", "Grants above a soft limit", budget=AtMost(SERIES_MAX, "budgets"))
    amount = gauge(
        "ossa_budget_usd",
        "Of each budget",
        budget=AtMost(SERIES_MAX, "budgets"),
        part=("hard", "spent", "reserved", "in_doubt"),
    )

    def granted(self, grant: Grant, most_usd: float) -> None:
        shrunk = grant.usd < most_usd - 1e-9
        self.reservations.labels("shrunk" if shrunk else "granted").inc()
        for label, _ in grant.warnings:
            self.warnings.labels(label).inc()

    def found(self, recovered: Recovered) -> None:
        self.recovered.labels("settled").inc(recovered.settled)
        self.recovered.labels("in_doubt").inc(recovered.in_doubt)
        self.in_doubt.inc(recovered.in_doubt_usd)

    def show(self, balances: Sequence[Balance]) -> None:
        self.amount.clear()
        for balance in balances[:SERIES_MAX]:
            name = balance.budget.id
            self.amount.labels(name, "hard").set(balance.budget.hard_usd)
            self.amount.labels(name, "spent").set(balance.spent_usd)
            self.amount.labels(name, "reserved").set(balance.reserved_usd)
            self.amount.labels(name, "in_doubt").set(balance.in_doubt_usd)


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


NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"
TENANT_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


class BudgetBody(Closed):
    """`name` is a tenant, a pool, a manifest, or a task's id; `*` for every task."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"kind": "pool", "name": "security", "period": "day", "hard_usd": 20.0}},
    )

    kind: SubjectKind
    name: str = Field(min_length=1, max_length=256, pattern=NAME_PATTERN)
    period: Period | None = Field(None, description="without it `month`, or `task` for tasks")
    tenant: str | None = Field(
        None,
        min_length=1,
        max_length=63,
        pattern=TENANT_PATTERN,
        description="whose spending counts; for the operator to say",
    )
    hard_usd: float = Field(ge=0, le=MOST_USD, allow_inf_nan=False)
    soft_usd: float | None = Field(None, ge=0, le=MOST_USD, allow_inf_nan=False)


class BudgetView(BaseModel):
    """A budget in its current period; of one for every task the amounts are 0. `tenant` null: everybody's spending."""

    id: str
    owner: str
    kind: SubjectKind
    name: str
    tenant: str | None
    period: Literal["day", "month", "task"]
    hard_usd: float
    soft_usd: float | None
    spent_usd: float
    reserved_usd: float
    in_doubt_usd: float
    left_usd: float
    ends_at: datetime | None

    @classmethod
    def of(cls, balance: Balance) -> BudgetView:
        return cls(
            id=balance.budget.id,
            **balance.budget.model_dump(),
            spent_usd=balance.spent_usd,
            reserved_usd=balance.reserved_usd,
            in_doubt_usd=balance.in_doubt_usd,
            left_usd=balance.left_usd,
            ends_at=balance.ends_at,
        )


class BudgetList(BaseModel):
    data: list[BudgetView]


router = APIRouter(tags=["Cost"])

PATH = "/api/v1/budgets"
WHOSE = "Of the key's tenant; the operator's admins see all, and set budgets on other tenants and on everybody."


@router.get(PATH, **describe("List budgets", WHOSE, scope=Scope.ADMIN, answer=BudgetList))
async def list_budgets(request: Request, caller: Admin) -> Response:
    context = context_of(request)
    found = [
        balance for balance in await context.core.stores.budgets.budgets() if _sees(context, caller, balance.budget)
    ]
    return json_response(BudgetList(data=[BudgetView.of(balance) for balance in found]))


@router.put(
    PATH,
    **describe(
        "Set a budget",
        f"{WHOSE} It replaces the one of the same owner, subject, tenant and period; what was spent stays spent. It is "
        "felt within a second by turns that begin, and counts from the first model call after that.",
        scope=Scope.ADMIN,
        answer=BudgetView,
        body="BudgetBody",
    ),
)
async def put_budget(request: Request, caller: Admin, body: JsonBody) -> Response:
    context = context_of(request)
    budget = _budget(context, caller, checked(BudgetBody, body))
    await _check_room(context, caller, budget)
    await context.core.stores.budgets.put(budget)
    await context.service(Spending, "spending").read()
    return json_response(BudgetView.of(await _balance(context, budget.id)))


@router.delete(
    PATH,
    **describe(
        "Remove a budget",
        "One that another tenant owns is not found.",
        scope=Scope.ADMIN,
        answer=BudgetView,
        errors=(404,),
    ),
)
async def delete_budget(
    request: Request,
    caller: Admin,
    kind: SubjectKind,
    name: Annotated[str, Query(min_length=1, max_length=256, pattern=NAME_PATTERN)],
    period: Period | None = None,
    tenant: Annotated[str | None, Query(min_length=1, max_length=63, pattern=TENANT_PATTERN)] = None,
) -> Response:
    context = context_of(request)
    wanted = BudgetBody(kind=kind, name=name, period=period, tenant=tenant, hard_usd=0)
    budget = _budget(context, caller, wanted)
    gone = await _balance(context, budget.id)
    await context.core.stores.budgets.remove(budget.id)
    await context.service(Spending, "spending").read()
    return json_response(BudgetView.of(gone))


def _budget(context: GatewayContext, caller: Principal, order: BudgetBody) -> Budget:
    """Raises `Forbidden` for another tenant's spending, `InvalidRequest` for a period that does not fit."""
    tenant, name = order.tenant, order.name
    if caller.tenant != context.core.operator_tenant:
        if tenant not in (None, caller.tenant) or (order.kind == "tenant" and name != caller.tenant):
            raise Forbidden("Only the operator's admins may set budgets of other tenants.", param="tenant")
        tenant = caller.tenant
    if order.kind == "pool":
        name = POOL_ALIASES.get(name, name)
    period: Period = order.period or ("task" if order.kind == "task" else "month")
    try:
        return Budget(
            owner=caller.tenant,
            kind=order.kind,
            name=name,
            tenant=None if order.kind == "tenant" else tenant,
            period=period,
            hard_usd=order.hard_usd,
            soft_usd=order.soft_usd,
        )
    except ValueError as error:
        param = "soft_usd" if order.soft_usd is not None and order.soft_usd > order.hard_usd else "period"
        said = "soft_usd is at most hard_usd." if param == "soft_usd" else "A task's period is `task`, and no other's."
        raise InvalidRequest(said, param=param) from error


async def _check_room(context: GatewayContext, caller: Principal, budget: Budget) -> None:
    """Each budget is read by every replica each second. Raises `LimitExceeded` for one too many."""
    if caller.tenant == context.core.operator_tenant:
        return
    own = {one.budget.id for one in await context.core.stores.budgets.budgets() if one.budget.owner == caller.tenant}
    if budget.id not in own and len(own) >= MOST_BUDGETS:
        raise LimitExceeded(
            f"The tenant {caller.tenant} has {len(own)} budgets, and may have {MOST_BUDGETS}: remove one first.",
            param="name",
        )


async def _balance(context: GatewayContext, budget_id: str) -> Balance:
    for balance in await context.core.stores.budgets.budgets():
        if balance.budget.id == budget_id:
            return balance
    raise NotFound("There is no such budget of this tenant.", param="name")


def _sees(context: GatewayContext, caller: Principal, budget: Budget) -> bool:
    return caller.tenant == context.core.operator_tenant or budget.seen_by(caller.tenant)


NAME = "spending"


def extension(core: GatewayCore) -> Extension:
    """Budgets of tenants, pools, manifests and tasks."""
    metrics = core.metrics.group(BudgetMetrics)
    spending = Spending(core.stores.budgets, metrics, operator_tenant=core.operator_tenant)
    return Extension(
        NAME,
        hooks=[SpendingHook(spending)],
        routers=[router],
        schemas=(BudgetBody,),
        service=spending,
        loops={"budgets": spending.run_forever},
        close=lambda within_s: spending.close(within_s=within_s),
    )
