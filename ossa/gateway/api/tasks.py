"""`/api/v1/tasks`: work that is not waited for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest, NotFound
from ossa.contracts.task import NewTask, TaskRequest, TaskStatus
from ossa.gateway.api.answer import json_answer
from ossa.gateway.api.body import JsonBody, idempotency_key, wants_cache, wants_vortex
from ossa.gateway.api.caller import TasksCaller
from ossa.gateway.api.chat import body_digest
from ossa.gateway.api.description import describe
from ossa.gateway.api.failures import checked
from ossa.gateway.api.messages import asked_messages, read_target
from ossa.gateway.api.parameters import check_parameters
from ossa.gateway.api.schemas import TaskBody, TaskPage, TaskView
from ossa.gateway.api.task_page import read_task_page, task_view
from ossa.gateway.context import context_of
from ossa.gateway.ids import is_task_id, new_task_id

router = APIRouter(tags=["Tasks"])


@router.post(
    "/api/v1/tasks",
    **describe(
        "Hand in a task",
        "Answered once the task is journaled: from then on it is done, whatever fails.",
        scope=Scope.TASKS,
        answer=TaskView,
        status=202,
        body="TaskBody",
        errors=(404, 409, 429),
        idempotent=True,
        headers="location",
    ),
)
async def create_task(request: Request, caller: TasksCaller, body: JsonBody) -> Response:
    context = context_of(request)
    order = checked(TaskBody, body)
    key = idempotency_key(request)
    new = NewTask(
        id=new_task_id(),
        tenant=caller.tenant,
        request=_task_request(order, context.core.settings.max_messages, request),
        idempotency_key=key,
        body_sha256=body_digest("task", body) if key is not None else "",
    )
    accepted = await context.dispatcher.submit(new)
    headers = {"location": f"/api/v1/tasks/{accepted.task.id}"}
    return json_answer(task_view(accepted.task), status=202, headers=headers)


@router.get(
    "/api/v1/tasks",
    **describe(
        "List tasks, newest first",
        "A page of long tasks holds fewer than `limit`: it ends at 4 MiB, and `next` goes on from there.",
        scope=Scope.TASKS,
        answer=TaskPage,
    ),
)
async def list_tasks(
    request: Request,
    caller: TasksCaller,
    status: TaskStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="the `next` of the page before")] = None,
) -> Response:
    if before is not None and not is_task_id(before):
        raise InvalidRequest("before must be a task's id.", param="before")
    journal = context_of(request).core.stores.journal
    page = await read_task_page(journal, tenant=caller.tenant, status=status, limit=limit, before=before)
    return Response(page, media_type="application/json")


@router.get("/api/v1/tasks/{task_id}", **describe("One task", scope=Scope.TASKS, answer=TaskView, errors=(404,)))
async def get_task(request: Request, task_id: str, caller: TasksCaller) -> Response:
    check_task_id(task_id)
    return json_answer(task_view(await context_of(request).core.stores.journal.get(task_id, tenant=caller.tenant)))


@router.post(
    "/api/v1/tasks/{task_id}/cancel",
    **describe(
        "Cancel a task",
        "A queued task ends at once; a running one as soon as its agent heard of it; an ended one stays as it is.",
        scope=Scope.TASKS,
        answer=TaskView,
        status=202,
        errors=(404,),
    ),
)
async def cancel_task(request: Request, task_id: str, caller: TasksCaller) -> Response:
    check_task_id(task_id)
    task = await context_of(request).dispatcher.cancel(task_id, tenant=caller.tenant)
    return json_answer(task_view(task), status=202)


def check_task_id(task_id: str) -> None:
    """What cannot be an id is not looked up."""
    if not is_task_id(task_id):
        raise NotFound(f"There is no task {task_id[:64]!r}.", param="task_id")


def _task_request(order: TaskBody, max_messages: int, request: Request) -> TaskRequest:
    messages = asked_messages(order.messages, order.input, at_most=max_messages)
    check_parameters(order.parameters)
    return TaskRequest(
        target=read_target(order.model),
        messages=messages,
        parameters=order.parameters,
        metadata=order.metadata,
        timeout_s=order.timeout_s,
        asynchronous=True,
        vortex=wants_vortex(request),
        cache=wants_cache(request),
    )
