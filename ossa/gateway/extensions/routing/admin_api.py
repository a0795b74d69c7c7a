"""`/api/v1/routing`: policies, models, and what decides now."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.errors import Conflict, Forbidden, NotFound
from ossa.contracts.routing import EVERY_TENANT, ModelKind, ModelRecord, RouterStatus, RoutingPolicy
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin, AgentsReader, FleetWriter, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import Closed
from ossa.gateway.context import GatewayContext, context_of
from ossa.routing.learned.archive import ModelFileError
from ossa.routing.model_scorer import read_model
from ossa.routing.registry import LiveRouter
from ossa.scaling.forecast.forecaster import try_forecast
from ossa.scaling.forecast.model import ForecastModelError

Rating = Annotated[float, Field(ge=0, le=1, strict=True)] | Literal["up", "down"]


class FeedbackBody(Closed):
    """What a user says of a task's answer. Said again, it replaces what was said before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"rating": "down", "comment": "not what I asked", "expected": "security"}},
    )

    rating: Rating = Field(description="0 (useless) to 1 (what was wanted); `down` is 0, `up` is 1")
    comment: str = Field("", max_length=4096)
    expected: str = Field("", max_length=253, description="the pool, manifest or agent that should have answered")


class FeedbackView(BaseModel):
    """`expected` is a pool's or manifest's name."""

    task_id: str
    rating: float
    comment: str
    expected: str
    at: datetime


class PolicyView(BaseModel):
    """`source`: whose policy holds; the tenant's own, that of every tenant, or none and the usual one."""

    tenant: str
    policy: RoutingPolicy
    source: Literal["own", "everybody", "usual"]


class RouterModelList(BaseModel):
    data: list[ModelRecord]


class RolledBackView(BaseModel):
    """`live` is null when none was live before: the packaged model serves, or rules do; simple methods
    forecast."""

    kind: ModelKind
    live: ModelRecord | None


ROUTING_MODELS: dict[str, type[BaseModel]] = {model.__name__: model for model in (FeedbackBody, RoutingPolicy)}


router = APIRouter(tags=["Routing"])

POLICY = "/api/v1/routing/policy"
OF_TENANT = "Of the key's tenant. The operator's admins may name another one, or `*` for tenants without a policy."
MAX_VERSION = 2**31 - 1

Tenant = Annotated[
    str | None,
    Query(min_length=1, max_length=63, pattern=r"^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$", description=OF_TENANT),
]
Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]


@router.get(POLICY, **describe("The routing policy that holds", OF_TENANT, scope=Scope.ADMIN, answer=PolicyView))
async def get_policy(request: Request, caller: Admin, tenant: Tenant = None) -> Response:
    context = context_of(request)
    return await _holding(context, _named(context, caller, tenant))


@router.put(
    POLICY,
    **describe(
        "Set the routing policy",
        f"{OF_TENANT} Every replica goes by it within seconds.",
        scope=Scope.ADMIN,
        answer=PolicyView,
        body="RoutingPolicy",
    ),
)
async def put_policy(request: Request, caller: Admin, body: JsonBody, tenant: Tenant = None) -> Response:
    context = context_of(request)
    whose = _named(context, caller, tenant)
    await context.core.stores.routing.save_policy(whose, checked(RoutingPolicy, body))
    await context.service(LiveRouter, "routing").refresh()
    return await _holding(context, whose)


@router.delete(
    POLICY,
    **describe(
        "Remove the routing policy",
        f"{OF_TENANT} Answers with what holds from now on.",
        scope=Scope.ADMIN,
        answer=PolicyView,
    ),
)
async def delete_policy(request: Request, caller: Admin, tenant: Tenant = None) -> Response:
    context = context_of(request)
    whose = _named(context, caller, tenant)
    await context.core.stores.routing.save_policy(whose, None)
    await context.service(LiveRouter, "routing").refresh()
    return await _holding(context, whose)


@router.get(
    "/api/v1/routing/models",
    **describe("Router models, newest first", scope=Scope.AGENTS_READ, answer=RouterModelList),
)
async def list_router_models(request: Request, caller: AgentsReader, kind: ModelKind | None = None) -> Response:
    return json_response(RouterModelList(data=list(await context_of(request).core.stores.routing.models(kind=kind))))


@router.post(
    "/api/v1/routing/models/{kind}/{version}/promote",
    **describe(
        "Let a router model decide",
        "What uses its kind swaps it in, without a pause: replicas in seconds, the forecaster in a minute. A file that "
        "cannot be used is 409.",
        scope=Scope.FLEET_WRITE,
        answer=ModelRecord,
        errors=(404, 409),
    ),
)
async def promote_router_model(request: Request, kind: ModelKind, version: Version, caller: FleetWriter) -> Response:
    context = context_of(request)
    await _try(context, kind, version)
    record = await context.core.stores.routing.promote(kind, version)
    await context.service(LiveRouter, "routing").refresh()
    return json_response(record)


@router.post(
    "/api/v1/routing/models/{kind}/rollback",
    **describe(
        "Go back to the router model before",
        "Null when there is none: the packaged model serves, or rules do; simple methods forecast.",
        scope=Scope.FLEET_WRITE,
        answer=RolledBackView,
    ),
)
async def roll_back_router_model(request: Request, kind: ModelKind, caller: FleetWriter) -> Response:
    context = context_of(request)
    live = await context.core.stores.routing.roll_back(kind)
    await context.service(LiveRouter, "routing").refresh()
    return json_response(RolledBackView(kind=kind, live=live))


@router.get(
    "/api/v1/routing/status",
    **describe(
        "What decides now",
        "Of the replica that answers: its models, since when, and why a fallback; drift of inputs and quality.",
        scope=Scope.AGENTS_READ,
        answer=RouterStatus,
    ),
)
async def router_status(request: Request, caller: AgentsReader) -> Response:
    return json_response(context_of(request).service(LiveRouter, "routing").status())


def _named(context: GatewayContext, caller: Principal, tenant: str | None) -> str:
    if tenant not in (None, caller.tenant) and caller.tenant != context.core.operator_tenant:
        raise Forbidden("Only the operator's admins may see or set the policy of another tenant.", param="tenant")
    return tenant or caller.tenant


async def _holding(context: GatewayContext, tenant: str) -> Response:
    policies = await context.core.stores.routing.policies()
    if tenant in policies:
        view = PolicyView(tenant=tenant, policy=policies[tenant], source="own")
    elif EVERY_TENANT in policies:
        view = PolicyView(tenant=tenant, policy=policies[EVERY_TENANT], source="everybody")
    else:
        view = PolicyView(tenant=tenant, policy=RoutingPolicy(), source="usual")
    return json_response(view)


async def _try(context: GatewayContext, kind: ModelKind, version: int) -> None:
    """Raises `NotFound`, and `Conflict` for a file that nobody could use."""
    records = await context.core.stores.routing.models(kind=kind)
    record = next((one for one in records if one.version == version), None)
    if record is None:
        raise NotFound(f"There is no router model {kind} {version}.", param="version")
    content = await context.core.stores.routing.model_file(kind, version)
    try:
        if kind == "forecast":
            await asyncio.to_thread(try_forecast, content, source=f"forecast model {version}")
        else:
            await asyncio.to_thread(read_model, kind, content, record, since=datetime.now(UTC))
    except (ModelFileError, ForecastModelError) as error:
        raise Conflict(f"It cannot be promoted: {error.message}") from error
