"""One page of a tenant's tasks, bounded in bytes: a task may carry megabytes of metadata or answer."""

from __future__ import annotations

import orjson

from ossa.contracts.stores import Journal
from ossa.contracts.task import Task, TaskStatus
from ossa.gateway.api.schemas import TaskView

PAGE_BYTES = 4 * 2**20
FIRST_READ = 5
"""Tasks read from the journal at once; doubled while they turn out to be small."""


async def read_task_page(
    journal: Journal, *, tenant: str, status: TaskStatus | None, limit: int, before: str | None
) -> bytes:
    """A `TaskPage` as JSON, newest first: up to `limit` tasks, fewer when they are long, at least one if there is any.

    It is longer than `PAGE_BYTES` only by its own frame, or when its single task is.
    """
    views: list[bytes] = []
    size, last, read_at_once = 0, before, FIRST_READ
    while len(views) < limit:
        wanted = min(read_at_once, limit - len(views))
        tasks = await journal.tasks(tenant=tenant, status=status, limit=wanted, before=last)
        for task in tasks:
            view = task_view(task).model_dump_json().encode()
            size += len(view) + 1
            if views and size > PAGE_BYTES:
                return _page(views, last)
            views.append(view)
            last = task.id
        if len(tasks) < wanted:
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
    )


def _page(views: list[bytes], following: str | None) -> bytes:
    return b'{"data":[' + b",".join(views) + b'],"next":' + orjson.dumps(following) + b"}"
