"""The three calls of the mission."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.fleet import Operation
from ossa.gateway.api.body import JsonBody
from ossa.gateway.api.caller import FleetWriter
from ossa.gateway.api.description import describe
from ossa.gateway.api.failures import checked
from ossa.gateway.api.operations import started
from ossa.gateway.api.schemas import DeployPhaseBody, ScaleToPhase4Body, SpawnPoolBody
from ossa.gateway.context import context_of

router = APIRouter(tags=["Fleet"])


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
    order = checked(DeployPhaseBody, body)
    wanted = {"phase": order.phase, "target_agents": order.target_agents}
    return started(await context_of(request).core.fleet.submit("deploy-phase", wanted, tenant=caller.tenant))


@router.post(
    "/api/v1/agents/spawn-pool",
    **_described("Set a pool's size", SpawnPoolBody, "`enterprise-analytics` is the intelligence pool."),
)
async def spawn_pool(request: Request, caller: FleetWriter, body: JsonBody) -> Response:
    order = checked(SpawnPoolBody, body)
    wanted = {"pool_type": order.pool_type, "agent_count": order.agent_count}
    return started(await context_of(request).core.fleet.submit("spawn-pool", wanted, tenant=caller.tenant))


@router.post(
    "/api/v1/infrastructure/scale-to-phase4",
    **_described("Scale to phase 4", ScaleToPhase4Body, "`target` begins with the number of agents."),
)
async def scale_to_phase4(request: Request, caller: FleetWriter, body: JsonBody) -> Response:
    order = checked(ScaleToPhase4Body, body)
    wanted = {"target": order.target, "kubernetes_nodes": order.kubernetes_nodes}
    return started(await context_of(request).core.fleet.submit("scale-to-phase4", wanted, tenant=caller.tenant))
