"""Asynchronous tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from ossa.contracts.errors import TimedOut
from ossa.sdk.call import Call, Request
from ossa.sdk.calls.chat import Prompt, messages_of
from ossa.sdk.calls.listed import items
from ossa.sdk.errors import Unreachable
from ossa.sdk.server_sent import ServerEvent
from ossa.sdk.values.task import Task, TaskEvent, Tasks

PATH = "/api/v1/tasks"


def task_path(task_id: str, *rest: str) -> str:
    return "/".join((PATH, quote(task_id, safe=""), *rest))


def _task(response: httpx.Response) -> Task:
    return Task.model_validate(response.json())


def create(
    prompt: Prompt,
    *,
    model: str,
    metadata: Mapping[str, Any] | None,
    timeout_s: float | None,
    idempotency_key: str | None,
    parameters: Mapping[str, Any],
) -> Call[Task]:
    body: dict[str, Any] = {"model": model, "messages": messages_of(prompt)}
    if parameters:
        body["parameters"] = dict(parameters)
    if metadata:
        body["metadata"] = dict(metadata)
    if timeout_s is not None:
        body["timeout_s"] = timeout_s
    return Call(
        Request("POST", PATH, json=body, headers={"Idempotency-Key": idempotency_key or uuid4().hex}),
        _task,
    )


def get(task_id: str) -> Call[Task]:
    return Call(Request("GET", task_path(task_id)), _task)


def listed(*, status: str | None, limit: int, before: str | None) -> Call[Tasks]:
    params: dict[str, str | int] = {"limit": limit}
    if status:
        params["status"] = status
    if before:
        params["before"] = before
    return Call(
        Request("GET", PATH, params=params),
        lambda response: Tasks(Task.model_validate(item) for item in items(response)),
    )


def cancel(task_id: str) -> Call[Task]:
    """Cancelling twice is cancelling once."""
    return Call(Request("POST", task_path(task_id, "cancel")), _task)


def events(task_id: str, *, after: str | None) -> Request:
    headers = {"Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    return Request("GET", task_path(task_id, "events"), headers=headers)


class EventTrail:
    """Where one is in a task's events: what to resume after, and whether they have come to their end."""

    def __init__(self, after: str | None = None) -> None:
        self.after = after
        self.ended = False

    def take(self, event: ServerEvent) -> TaskEvent:
        try:
            data = json.loads(event.data)
        except ValueError:
            data = event.data
        if not isinstance(data, dict):
            data = {"value": data}
        self.after = event.id or self.after
        self.ended = self.ended or event.type == "end"
        return TaskEvent(id=event.id, type=event.type, data=data)


def not_ended(thing_id: str, timeout_s: float) -> TimedOut:
    return TimedOut(f"{thing_id} did not end within {timeout_s:g} s; it goes on, ask for it later.")


def broken_off(task_id: str) -> Unreachable:
    return Unreachable(f"The events of {task_id} broke off before its end.", details={"sent": True})
