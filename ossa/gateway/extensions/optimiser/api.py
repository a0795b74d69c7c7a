"""`/api/v1/cost`: what tasks cost, and what would make them cheaper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import NotReady
from ossa.contracts.fleet import AgentState
from ossa.cost.optimiser import Proposal
from ossa.cost.report import By, CostReport, report
from ossa.gateway.api.description import describe
from ossa.gateway.api.request import Admin, FleetWriter
from ossa.gateway.api.responses import json_response
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.extensions.optimiser.optimiser import Optimiser
from ossa.gateway.extensions.optimiser.schemas import ProposalList
from ossa.routing.registry import LiveRouter

router = APIRouter(tags=["Cost"])

MOST_DAYS = 400


@router.get(
    "/api/v1/cost/report",
    **describe(
        "What tasks cost",
        "Ended tasks of the last UTC days, today included. The operator's admins see all tenants, others their own.",
        scope=Scope.ADMIN,
        answer=CostReport,
    ),
)
async def cost_report(
    request: Request, caller: Admin, by: By = "tenant", days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 7
) -> Response:
    context = context_of(request)
    everything = caller.tenant == context.core.operator_tenant
    now = datetime.now(UTC)
    since = (now - timedelta(days=days - 1)).date()
    spent = await context.core.stores.spending.spending(since=since, tenant=None if everything else caller.tenant)
    agents = live_agents(context) if everything else None
    return json_response(report(spent, by=by, since=since, now=now, live_agents=agents))


@router.get(
    "/api/v1/cost/proposals",
    **describe(
        "What would make the fleet cheaper",
        "Each with its expected saving and its evidence; and what approved ones brought.",
        scope=Scope.FLEET_WRITE,
        answer=ProposalList,
    ),
)
async def cost_proposals(request: Request, caller: FleetWriter) -> Response:
    optimiser = context_of(request).service(Optimiser, "optimiser")
    return json_response(ProposalList(data=await optimiser.proposals(), approved=await optimiser.measured()))


@router.post(
    "/api/v1/cost/proposals/{proposal_id}/approve",
    **describe(
        "Approve a proposal",
        "Applied at once where it has a `change`; else `apply` says what to set. Afterwards it is measured.",
        scope=Scope.FLEET_WRITE,
        answer=Proposal,
        errors=(404, 409, 429),
    ),
)
async def approve_proposal(request: Request, proposal_id: str, caller: FleetWriter) -> Response:
    context = context_of(request)
    approved = await context.service(Optimiser, "optimiser").approve(proposal_id, by=caller.key_id)
    await context.service(LiveRouter, "routing").refresh()
    return json_response(approved)


def live_agents(context: GatewayContext) -> int:
    try:
        return sum(agent.state is AgentState.READY for agent in context.core.fleet.snapshot().agents)
    except NotReady:
        return 0
