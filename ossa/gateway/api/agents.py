"""`/api/v1/agents`: the shared agents and a tenant's own."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Principal, Scope
from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import InvalidRequest, LimitExceeded, NotFound, NotReady
from ossa.contracts.fleet import AgentInfo, AgentState, DesiredAgent, Operation
from ossa.gateway.api.document import describe
from ossa.gateway.api.fleet import known_pool, started
from ossa.gateway.api.request import AgentsReader, AgentsWriter, FleetWriter, JsonBody
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import AgentBody, AgentPage, AgentView
from ossa.gateway.context import GatewayContext, context_of

router = APIRouter(tags=["Agents"])

DEFAULT_POOL = "community"
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")


@router.get("/api/v1/agents", **describe("List agents", scope=Scope.AGENTS_READ, answer=AgentPage))
async def list_agents(
    request: Request,
    caller: AgentsReader,
    pool: str | None = None,
    state: AgentState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    after: Annotated[str | None, Query(description="the `next` of the page before")] = None,
) -> Response:
    views = [
        view
        for view in await _visible(context_of(request), caller)
        if (pool is None or view.pool == pool)
        and (state is None or view.state == state)
        and (after is None or view.agent_id > after)
    ]
    page = views[:limit]
    following = page[-1].agent_id if len(views) > limit else None
    return json_response(AgentPage(data=page, next=following))


@router.get(
    "/api/v1/agents/{agent_id}", **describe("One agent", scope=Scope.AGENTS_READ, answer=AgentView, errors=(404,))
)
async def get_agent(request: Request, agent_id: str, caller: AgentsReader) -> Response:
    return json_response(await find_agent(context_of(request), caller, agent_id))


@router.post(
    "/api/v1/agents",
    **describe(
        "Start an agent of one's own",
        "Only this tenant sees it and is answered by it. A tenant may have a number of them at a time that the "
        "operator sets (`gateway.max_agents_per_tenant`); one more is refused with 429 `limit_exceeded`.",
        scope=Scope.AGENTS_WRITE,
        answer=AgentView,
        status=202,
        body="AgentBody",
        errors=(404, 409, 429),
        headers="location",
    ),
)
async def create_agent(request: Request, caller: AgentsWriter, body: JsonBody) -> Response:
    context = context_of(request)
    order = checked(AgentBody, body)
    spec = await asyncio.to_thread(context.core.read_manifest, order.manifest)
    pool = known_pool(context, order.pool) if order.pool else _wanted_pool(context, spec)
    agent = DesiredAgent(agent_id=_new_agent_id(spec), pool=pool, tenant=caller.tenant, spec=spec)
    async with context.spawning[caller.tenant]:
        await _check_quota(context, caller.tenant)
        await context.core.fleet.spawn_agent(agent)
    headers = {"location": f"/api/v1/agents/{agent.agent_id}"}
    return json_response(_starting(agent), status=202, headers=headers)


@router.delete(
    "/api/v1/agents/{agent_id}",
    **describe(
        "Remove an agent of one's own",
        "Its running turns end first.",
        scope=Scope.AGENTS_WRITE,
        answer=AgentView,
        status=202,
        errors=(404, 409),
    ),
)
async def delete_agent(request: Request, agent_id: str, caller: AgentsWriter) -> Response:
    context = context_of(request)
    view = await find_agent(context, caller, agent_id)
    await context.core.fleet.remove_agent(agent_id, tenant=caller.tenant)
    return json_response(view.model_copy(update={"state": "draining"}), status=202)


@router.post(
    "/api/v1/agents/{agent_id}/drain",
    **describe(
        "Replace an agent's process",
        "Its running turns end first.",
        scope=Scope.FLEET_WRITE,
        answer=Operation,
        status=202,
        errors=(404, 409, 429),
        headers="location",
    ),
)
async def drain_agent(request: Request, agent_id: str, caller: FleetWriter) -> Response:
    context = context_of(request)
    await find_agent(context, caller, agent_id)
    return started(await context.core.fleet.submit("drain", {"agent_id": agent_id}, tenant=caller.tenant))


async def _visible(context: GatewayContext, caller: Principal) -> list[AgentView]:
    """Live agents, and the tenant's own that were asked for and are not up yet."""
    try:
        live = context.core.fleet.snapshot().agents
    except NotReady:
        live = ()
    views = {agent.agent_id: _view(agent) for agent in live if agent.tenant in (None, caller.tenant)}
    desired = await context.core.stores.fleet.load()
    for agent in desired.agents:
        if agent.tenant == caller.tenant and agent.agent_id not in views:
            views[agent.agent_id] = _starting(agent)
    return sorted(views.values(), key=lambda view: view.agent_id)


async def _check_quota(context: GatewayContext, tenant: str) -> None:
    """Raises `LimitExceeded`. Agents that are asked for and not up yet count."""
    allowed = context.core.settings.max_agents_per_tenant
    own = sum(agent.tenant == tenant for agent in (await context.core.stores.fleet.load()).agents)
    if own >= allowed:
        raise LimitExceeded(
            f"This tenant has {own} agents of its own; gateway.max_agents_per_tenant allows {allowed} at a time. "
            "Remove one first."
        )


async def find_agent(context: GatewayContext, caller: Principal, agent_id: str) -> AgentView:
    """Returns an agent that the caller sees. Raises `NotFound`."""
    for view in await _visible(context, caller):
        if view.agent_id == agent_id:
            return view
    raise NotFound(f"There is no agent {agent_id[:128]!r}; GET /api/v1/agents lists them.", param="agent_id")


def _view(agent: AgentInfo) -> AgentView:
    return AgentView(
        agent_id=agent.agent_id,
        pool=agent.pool,
        own=agent.tenant is not None,
        manifest=agent.manifest,
        version=agent.version,
        capabilities=list(agent.capabilities),
        description=agent.description,
        tier=agent.tier,
        state=agent.state.value,
        node_id=agent.node_id,
        slots=agent.slots,
        started_at=agent.started_at,
    )


def _starting(agent: DesiredAgent) -> AgentView:
    spec = agent.spec
    return AgentView(
        agent_id=agent.agent_id,
        pool=agent.pool,
        own=True,
        manifest=spec.name,
        version=spec.version,
        capabilities=list(spec.capabilities),
        description=spec.description,
        tier=spec.model.tier,
        state="starting",
        slots=spec.limits.max_concurrent_requests or 1,
    )


def _wanted_pool(context: GatewayContext, spec: AgentSpec) -> str:
    """What the manifest asks for, if there is such a pool."""
    try:
        return known_pool(context, spec.pool or DEFAULT_POOL)
    except NotFound:
        return DEFAULT_POOL


def _new_agent_id(spec: AgentSpec) -> str:
    """The manifest's name and a random end, so that no tenant's id is another's or a pool's."""
    stem = _NOT_IN_IDS.sub("-", spec.name.lower()).strip("-")[:40]
    if not stem:
        raise InvalidRequest("The manifest's name holds no letter or digit.", param="manifest")
    return f"{stem}-{secrets.token_hex(4)}"
