"""`/api/v1/pools`."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import NotFound, NotReady
from ossa.contracts.fleet import POOL_ALIASES, POOLS, Operation, PoolInfo
from ossa.gateway.api.description import describe
from ossa.gateway.api.fleet import started
from ossa.gateway.api.request import AgentsReader, FleetWriter, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import ManifestBody, PoolList, ScaleBody
from ossa.gateway.context import GatewayContext, context_of

router = APIRouter(tags=["Pools"])


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


@router.get("/api/v1/pools", **describe("List pools", scope=Scope.AGENTS_READ, answer=PoolList))
async def list_pools(request: Request, caller: AgentsReader) -> Response:
    snapshot = context_of(request).core.fleet.snapshot()
    return json_response(PoolList(data=list(snapshot.pools), standby=snapshot.standby))


@router.get("/api/v1/pools/{name}", **describe("One pool", scope=Scope.AGENTS_READ, answer=PoolInfo, errors=(404,)))
async def get_pool(request: Request, name: str, caller: AgentsReader) -> Response:
    context = context_of(request)
    real = known_pool(context, name)
    for pool in context.core.fleet.snapshot().pools:
        if pool.name == real:
            return json_response(pool)
    return json_response(PoolInfo(name=real, desired=0, ready=0))


@router.post(
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
    router.add_api_route(
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
