"""`GET /api/v1/tasks/{id}/events`: a task's steps as they are journaled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.contracts.stores import Journal
from ossa.contracts.task import Task
from ossa.gateway.api.answer import EventStream, event
from ossa.gateway.api.caller import TasksCaller
from ossa.gateway.api.description import EVENTS, describe
from ossa.gateway.api.task_page import task_view
from ossa.gateway.api.tasks import check_task_id
from ossa.gateway.context import context_of

router = APIRouter(tags=["Tasks"])

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5
KEEP_ALIVE_S = 15.0
MAX_SEQ = 2**31 - 1

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "go on after this event",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
}


def _described() -> dict[str, object]:
    said = describe(
        "Follow a task",
        "Each journaled step is an event `step` whose id is its `seq` (schema TaskEvent); the last event is `end` "
        "with the task (schema TaskView). A client that was cut off sends `Last-Event-ID` and misses nothing.",
        scope=Scope.TASKS,
        errors=(404,),
        content=EVENTS,
    )
    said["openapi_extra"]["parameters"] = [_LAST_EVENT_ID]
    return said


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
    found = request.headers.get("last-event-id", "")
    if not found:
        return -1
    # The length first: Python refuses to read thousands of digits.
    if not found.isascii() or not found.isdigit() or len(found) > len(str(MAX_SEQ)) or int(found) > MAX_SEQ:
        raise InvalidRequest("Last-Event-ID must be the id of an event of this task.", param="Last-Event-ID")
    return int(found)
