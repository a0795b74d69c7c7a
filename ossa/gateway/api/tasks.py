"""`/api/v1/tasks`: work that the client does not wait for, its pages and its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.origin import current_origin
from ossa.contracts.stores import Journal
from ossa.contracts.task import NewTask, Task, TaskRequest, TaskStatus
from ossa.gateway.api.chat import body_digest
from ossa.gateway.api.document import EVENTS, describe
from ossa.gateway.api.request import (
    JsonBody,
    TasksCaller,
    asked_messages,
    cache_header,
    check_parameters,
    idempotency_key,
    read_target,
    vortex_header,
)
from ossa.gateway.api.responses import EventStream, checked, event, is_task_id, json_response, new_task_id
from ossa.gateway.api.schemas import TaskBody, TaskPage, TaskView
from ossa.gateway.context import context_of

router = APIRouter(tags=["Tasks"])

PAGE_BYTES = 4 * 2**20
FIRST_READ = 5
"""Tasks read from the journal at once; doubled while they turn out to be small."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5
KEEP_ALIVE_S = 15.0
MAX_SEQ = 2**31 - 1


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
    params = checked(TaskBody, body)
    key = idempotency_key(request)
    new = NewTask(
        id=new_task_id(),
        tenant=caller.tenant,
        request=_task_request(params, context.core.settings.max_messages, request),
        idempotency_key=key,
        body_sha256=body_digest("task", body) if key is not None else "",
    )
    accepted = await context.dispatcher.submit(new, caller=caller)
    headers = {"location": f"/api/v1/tasks/{accepted.task.id}"}
    return json_response(task_view(accepted.task), status=202, headers=headers)


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
    return json_response(task_view(await context_of(request).core.stores.journal.get(task_id, tenant=caller.tenant)))


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
    return json_response(task_view(task), status=202)


def check_task_id(task_id: str) -> None:
    """Raises `NotFound` for text that cannot be an id, without a look-up."""
    if not is_task_id(task_id):
        raise NotFound(f"There is no task {task_id[:64]!r}.", param="task_id")


def _task_request(params: TaskBody, max_messages: int, request: Request) -> TaskRequest:
    messages = asked_messages(params.messages, params.input, at_most=max_messages)
    check_parameters(params.parameters)
    return TaskRequest(
        target=read_target(params.model),
        messages=messages,
        parameters=params.parameters,
        metadata=params.metadata,
        timeout_s=params.timeout_s,
        asynchronous=True,
        vortex=vortex_header(request),
        cache=cache_header(request),
        origin=current_origin(),
    )


async def read_task_page(
    journal: Journal, *, tenant: str, status: TaskStatus | None, limit: int, before: str | None
) -> bytes:
    """Returns a `TaskPage` as JSON, newest first: up to `limit` tasks, fewer when they are long, at least one if any.

    It is longer than `PAGE_BYTES` only by its own frame, or when its single task is.
    """
    views: list[bytes] = []
    size, last, read_at_once = 0, before, FIRST_READ
    while len(views) < limit:
        batch = min(read_at_once, limit - len(views))
        tasks = await journal.tasks(tenant=tenant, status=status, limit=batch, before=last)
        for task in tasks:
            view = task_view(task).model_dump_json().encode()
            size += len(view) + 1
            if views and size > PAGE_BYTES:
                return _page(views, last)
            views.append(view)
            last = task.id
        if len(tasks) < batch:
            return _page(views, None)
        if size * 4 < PAGE_BYTES:
            read_at_once *= 2
    return _page(views, last)


def task_view(task: Task) -> TaskView:
    return TaskView.model_construct(
        id=task.id,
        status=task.status,
        model=str(task.request.target),
        attempts=task.attempts,
        cancel_requested=task.cancel_requested,
        metadata=task.request.metadata,
        outcome=task.outcome,
        created_at=task.created_at,
        updated_at=task.updated_at,
        finished_at=task.finished_at,
        request_id=task.origin.request_id,
        traceparent=task.origin.traceparent,
    )


def _page(views: list[bytes], following: str | None) -> bytes:
    return b'{"data":[' + b",".join(views) + b'],"next":' + orjson.dumps(following) + b"}"


_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "go on after this event",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
}


def _described() -> dict[str, object]:
    route = describe(
        "Follow a task",
        "Each journaled step is an event `step` whose id is its `seq` (schema TaskEvent); the last event is `end` "
        "with the task (schema TaskView). A client that was cut off sends `Last-Event-ID` and misses nothing.",
        scope=Scope.TASKS,
        errors=(404,),
        content=EVENTS,
    )
    route["openapi_extra"]["parameters"] = [_LAST_EVENT_ID]
    return route


@router.get("/api/v1/tasks/{task_id}/events", **_described())  # type: ignore[arg-type]
async def task_events(request: Request, task_id: str, caller: TasksCaller) -> Response:
    check_task_id(task_id)
    after = _last_event_id(request)
    journal = context_of(request).core.stores.journal
    task = await journal.get(task_id, tenant=caller.tenant)
    return EventStream(_events(journal, task, after))


async def _events(journal: Journal, task: Task, after: int) -> AsyncGenerator[bytes]:
    wait_s = FIRST_WAIT_S
    silent_s = 0.0
    yield b"retry: 1000\n\n"
    while True:
        try:
            # The task first, then its steps: once it has ended no step can follow.
            task = await journal.get(task.id, tenant=task.tenant)
            steps = await journal.steps(task.id, tenant=task.tenant, after=after)
        except StoreUnavailable:
            steps = []
        else:
            for step in steps:
                after = step.seq
                yield event(step.model_dump(mode="json"), name="step", id=step.seq)
            if task.status.ended:
                yield event(task_view(task).model_dump(mode="json"), name="end")
                return
        wait_s = FIRST_WAIT_S if steps else min(LONGEST_WAIT_S, wait_s * 1.5)
        silent_s = 0.0 if steps else silent_s + wait_s
        if silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield b": keep-alive\n\n"
        await asyncio.sleep(wait_s)


def _last_event_id(request: Request) -> int:
    text = request.headers.get("last-event-id", "")
    if not text:
        return -1
    # The length first: Python refuses to read thousands of digits.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAX_SEQ)) or int(text) > MAX_SEQ:
        raise InvalidRequest("Last-Event-ID must be the id of an event of this task.", param="Last-Event-ID")
    return int(text)
