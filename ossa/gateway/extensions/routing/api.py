"""`/api/v1/route`: what the router would decide, and `/api/v1/tasks/{id}/route`: what it decided."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.routing import Route
from ossa.contracts.task import TaskRequest
from ossa.gateway.api.description import describe
from ossa.gateway.api.messages import asked_messages, check_parameters, read_target
from ossa.gateway.api.request import JsonBody, TasksCaller
from ossa.gateway.api.responses import checked, json_response
from ossa.gateway.api.schemas import RouteBatch, RouteBody, RouteList, TaskRoutes
from ossa.gateway.api.tasks import check_task_id
from ossa.gateway.context import context_of
from ossa.gateway.extensions.routing.deciding import decided

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
