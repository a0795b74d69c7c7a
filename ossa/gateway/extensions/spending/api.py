"""`/api/v1/budgets`: a tenant's own, and all for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.budgets import MOST_BUDGETS, Balance, Budget, Period, SubjectKind
from ossa.contracts.errors import Forbidden, InvalidRequest, LimitExceeded, NotFound
from ossa.contracts.fleet import POOL_ALIASES
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import Admin, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.extensions.optimiser.schemas import NAME, TENANT, BudgetBody, BudgetList, BudgetView
from ossa.gateway.extensions.spending.spending import Spending

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
    name: Annotated[str, Query(min_length=1, max_length=256, pattern=NAME)],
    period: Period | None = None,
    tenant: Annotated[str | None, Query(min_length=1, max_length=63, pattern=TENANT)] = None,
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
