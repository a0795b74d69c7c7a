"""Routes about one task: where it would go, where it went, and what users say of its answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest, NotReady, OssaError
from ossa.contracts.fleet import POOL_ALIASES, POOLS, FleetSnapshot
from ossa.contracts.routing import Decided, Feedback, Route
from ossa.contracts.task import ErrorInfo, TaskRequest
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import JsonBody, TasksCaller, asked_messages, check_parameters, read_target
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import RouteBatch, RouteBody, RouteList, TaskRoutes
from ossa.gateway.api.tasks import check_task_id
from ossa.gateway.context import context_of
from ossa.gateway.extensions.routing.admin_api import FeedbackBody, FeedbackView
from ossa.gateway.scheduler import AgentScheduler
from ossa.routing.index import RoutingRequest


def would_go(scheduler: AgentScheduler, request: TaskRequest, *, tenant: str) -> Route:
    """Where the request would go now. Raises what `AgentScheduler.reserve` raises."""
    return scheduler.decide(RoutingRequest.of_request(request, tenant)).record()


def decided(scheduler: AgentScheduler, request: TaskRequest, *, tenant: str) -> Decided:
    """The same, with the error as data."""
    try:
        return Decided(route=would_go(scheduler, request, tenant=tenant))
    except OssaError as error:
        info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s)
        return Decided(error=info)


router = APIRouter(tags=["Routing"])


@router.post(
    "/api/v1/route",
    **describe(
        "Where requests would go now, and why",
        "Nothing is run and no seat is taken. One request (`messages` or `input`), or up to 256 in `requests`; each is "
        "answered with a route or an error of its own, in their order.",
        scope=Scope.TASKS,
        answer=RouteList,
        body="RouteBatch",
    ),
)
async def route_requests(request: Request, caller: TasksCaller, body: JsonBody) -> Response:
    context = context_of(request)
    batch = checked(RouteBatch, body)
    if batch.requests is not None and (batch.messages is not None or batch.input is not None):
        raise InvalidRequest("Give either requests, or one request's messages or input.", param="requests")
    orders: list[RouteBody] = batch.requests if batch.requests is not None else [batch]
    found = []
    for position, order in enumerate(orders):
        path = "" if batch.requests is None else f"requests.{position}."
        asked = _asked(order, context.core.settings.max_messages, path)
        await asyncio.sleep(0)  # a batch is not to hold up the turns between its decisions
        found.append(decided(context.dispatcher.scheduler, asked, tenant=caller.tenant))
    return json_response(RouteList(data=found))


@router.get(
    "/api/v1/tasks/{task_id}/route",
    **describe(
        "Where a task went, and why",
        "One decision each turn: a task whose agent was lost has several. None before the first step is journaled.",
        scope=Scope.TASKS,
        answer=TaskRoutes,
        errors=(404,),
    ),
)
async def task_route(request: Request, task_id: str, caller: TasksCaller) -> Response:
    check_task_id(task_id)
    journal = context_of(request).core.stores.journal
    task = await journal.get(task_id, tenant=caller.tenant)
    steps = await journal.steps(task.id, tenant=caller.tenant)
    routes = [Route.model_validate(step.payload) for step in steps if step.kind == "route"]
    return json_response(TaskRoutes(task_id=task.id, data=routes))


def _asked(order: RouteBody, max_messages: int, path: str) -> TaskRequest:
    messages = asked_messages(order.messages, order.input, at_most=max_messages, path=path)
    check_parameters(order.parameters)
    return TaskRequest(
        target=read_target(order.model),
        messages=messages,
        parameters=order.parameters,
        metadata=order.metadata,
    )


feedback = APIRouter(tags=["Tasks"])

_RATINGS = {"up": 1.0, "down": 0.0}
_NAMED = 20


@feedback.post(
    "/api/v1/tasks/{task_id}/feedback",
    **describe(
        "Rate a task's answer",
        "Of a task that has ended. Routing learns from it; said again, it replaces what was said before.",
        scope=Scope.TASKS,
        answer=FeedbackView,
        body="FeedbackBody",
        errors=(404, 409),
    ),
)
async def rate_task(request: Request, task_id: str, caller: TasksCaller, body: JsonBody) -> Response:
    context = context_of(request)
    check_task_id(task_id)
    order = checked(FeedbackBody, body)
    feedback = Feedback(
        task_id=task_id,
        tenant=caller.tenant,
        rating=_RATINGS[order.rating] if isinstance(order.rating, str) else order.rating,
        comment=order.comment,
        expected=_known(order.expected, _snapshot(request), caller.tenant) if order.expected else "",
        at=datetime.now(UTC),
    )
    await context.core.stores.routing.rate(feedback)
    return json_response(FeedbackView(**feedback.model_dump(exclude={"tenant"})))


def _snapshot(request: Request) -> FleetSnapshot | None:
    try:
        return context_of(request).core.fleet.snapshot()
    except NotReady:
        return None


def _known(name: str, snapshot: FleetSnapshot | None, tenant: str) -> str:
    """A pool's or a manifest's name; an agent's id stands for its manifest. Without a fleet any name is taken.

    Raises `InvalidRequest`, naming some of what there is.
    """
    name = POOL_ALIASES.get(name, name)
    if snapshot is None:
        return name
    agents = [agent for agent in snapshot.agents if agent.tenant in (None, tenant)]
    manifests = {agent.manifest for agent in agents}
    pools = {*POOLS, *(pool.name for pool in snapshot.pools)}
    if name in pools or name in manifests:
        return name
    for agent in agents:
        if agent.agent_id == name:
            return agent.manifest
    listed = ", ".join([*sorted(pools), *sorted(manifests)[:_NAMED]])
    raise InvalidRequest(f"expected: no pool, manifest or agent is called {name[:64]!r}. Known: {listed}.", "expected")
