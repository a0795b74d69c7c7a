"""`/api/v1/pools`, the mission's three calls, and the operations in which changes of the fleet end."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import NotFound, NotReady
from ossa.contracts.fleet import POOL_ALIASES, POOLS, Operation, PoolInfo
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import AgentsReader, FleetWriter, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import (
    DeployPhaseBody,
    ManifestBody,
    OperationList,
    PoolList,
    ScaleBody,
    ScaleToPhase4Body,
    SpawnPoolBody,
)
from ossa.gateway.context import GatewayContext, context_of

router = APIRouter(tags=["Fleet"])

_OPERATION_ID = re.compile(r"op_[A-Za-z0-9_-]{1,64}")


def started(operation: Operation) -> Response:
    """Answers 202 with the address at which to follow the operation."""
    return json_response(operation, status=202, headers={"location": f"/api/v1/operations/{operation.id}"})


@router.get("/api/v1/operations", **describe("List operations", scope=Scope.AGENTS_READ, answer=OperationList))
async def list_operations(
    request: Request,
    caller: AgentsReader,
    open_only: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    store = context_of(request).core.stores.fleet
    operations = await store.operations(tenant=caller.tenant, open_only=open_only, limit=limit)
    return json_response(OperationList(data=operations))


@router.get(
    "/api/v1/operations/{operation_id}",
    **describe("Follow an operation", scope=Scope.AGENTS_READ, answer=Operation, errors=(404,)),
)
async def get_operation(request: Request, operation_id: str, caller: AgentsReader) -> Response:
    if not _OPERATION_ID.fullmatch(operation_id):
        raise NotFound(f"There is no operation {operation_id[:64]!r}.", param="operation_id")
    return json_response(await context_of(request).core.stores.fleet.operation(operation_id, tenant=caller.tenant))


def _described(summary: str, body: type[BaseModel], description: str = "") -> dict[str, Any]:
    return describe(
        summary,
        description,
        scope=Scope.FLEET_WRITE,
        answer=Operation,
        status=202,
        body=body.__name__,
        errors=(404, 409, 429),
        headers="location",
    )


@router.post(
    "/api/v1/orchestration/deploy-phase",
    **_described("Deploy a phase", DeployPhaseBody, "`target_agents` are split over the five pools in its ratio."),
)
async def deploy_phase(request: Request, caller: FleetWriter, body: JsonBody) -> Response:
    params = checked(DeployPhaseBody, body)
    order = {"phase": params.phase, "target_agents": params.target_agents}
    return started(await context_of(request).core.fleet.submit("deploy-phase", order, tenant=caller.tenant))


@router.post(
    "/api/v1/agents/spawn-pool",
    **_described("Set a pool's size", SpawnPoolBody, "`enterprise-analytics` is the intelligence pool."),
)
async def spawn_pool(request: Request, caller: FleetWriter, body: JsonBody) -> Response:
    params = checked(SpawnPoolBody, body)
    order = {"pool_type": params.pool_type, "agent_count": params.agent_count}
    return started(await context_of(request).core.fleet.submit("spawn-pool", order, tenant=caller.tenant))


@router.post(
    "/api/v1/infrastructure/scale-to-phase4",
    **_described("Scale to phase 4", ScaleToPhase4Body, "`target` begins with the number of agents."),
)
async def scale_to_phase4(request: Request, caller: FleetWriter, body: JsonBody) -> Response:
    params = checked(ScaleToPhase4Body, body)
    order = {"target": params.target, "kubernetes_nodes": params.kubernetes_nodes}
    return started(await context_of(request).core.fleet.submit("scale-to-phase4", order, tenant=caller.tenant))


pools = APIRouter(tags=["Pools"])


def known_pool(context: GatewayContext, name: str) -> str:
    """The pool of that name or alias. Raises `NotFound`, listing those there are."""
    real = POOL_ALIASES.get(name, name)
    try:
        live = {pool.name for pool in context.core.fleet.snapshot().pools}
    except NotReady:
        live = set()
    known = {*POOLS, *live}
    if real not in known:
        listed = ", ".join(sorted({*known, *POOL_ALIASES}))
        raise NotFound(f"There is no pool {name[:128]!r}. Known pools: {listed}.", param="pool")
    return real


@pools.get("/api/v1/pools", **describe("List pools", scope=Scope.AGENTS_READ, answer=PoolList))
async def list_pools(request: Request, caller: AgentsReader) -> Response:
    snapshot = context_of(request).core.fleet.snapshot()
    return json_response(PoolList(data=list(snapshot.pools), standby=snapshot.standby))


@pools.get("/api/v1/pools/{name}", **describe("One pool", scope=Scope.AGENTS_READ, answer=PoolInfo, errors=(404,)))
async def get_pool(request: Request, name: str, caller: AgentsReader) -> Response:
    context = context_of(request)
    real = known_pool(context, name)
    for pool in context.core.fleet.snapshot().pools:
        if pool.name == real:
            return json_response(pool)
    return json_response(PoolInfo(name=real, desired=0, ready=0))


@pools.post(
    "/api/v1/pools/{name}/scale",
    **describe(
        "Set a pool's size",
        scope=Scope.FLEET_WRITE,
        answer=Operation,
        status=202,
        body="ScaleBody",
        errors=(404, 409, 429),
        headers="location",
    ),
)
async def scale_pool(request: Request, name: str, caller: FleetWriter, body: JsonBody) -> Response:
    context = context_of(request)
    order = {"pool_type": known_pool(context, name), "agent_count": checked(ScaleBody, body).agents}
    return started(await context.core.fleet.submit("spawn-pool", order, tenant=caller.tenant))


async def apply_manifest(request: Request, name: str, caller: FleetWriter, body: JsonBody) -> Response:
    context = context_of(request)
    pool = known_pool(context, name)
    spec = await asyncio.to_thread(context.core.read_manifest, checked(ManifestBody, body).manifest)
    order = {"manifest": spec.model_dump(mode="json"), "pool": pool}
    return started(await context.core.fleet.submit("apply", order, tenant=caller.tenant))


for _method in ("PUT", "POST"):
    pools.add_api_route(
        "/api/v1/pools/{name}/manifest",
        apply_manifest,
        methods=[_method],
        operation_id=f"apply_manifest_{_method.lower()}",
        **describe(
            "Apply a manifest to a pool",
            "Agents of that manifest are replaced one after the other; running turns end first.",
            scope=Scope.FLEET_WRITE,
            answer=Operation,
            status=202,
            body="ManifestBody",
            errors=(404, 409, 429),
            headers="location",
        ),
    )
