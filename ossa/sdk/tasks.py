"""Asynchronous tasks: `client.tasks`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

from pydantic import AliasChoices, Field

from ossa.contracts.errors import OssaError
from ossa.contracts.task import Outcome, Usage
from ossa.resilience.server_sent import ServerEvent
from ossa.sdk.blocking import IO, Calls, call, stream
from ossa.sdk.chat import Prompt, messages_of
from ossa.sdk.errors import Unreachable
from ossa.sdk.exchange import Request, given, path_of
from ossa.sdk.received import Listing, Received
from ossa.sdk.routing import Feedback, Routes

TASKS = "/api/v1/tasks"


class Task(Received):
    """One accepted request. It is in the journal: whatever dies, it comes to one of its three ends."""

    id: str
    status: str
    outcome: Outcome | None = None
    asked: str = Field(default="", validation_alias=AliasChoices("model", "asked"), description="`pool/NAME`, ...")
    metadata: dict[str, Any] = {}
    attempts: int = 0
    cancel_requested: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    request_id: str = ""
    traceparent: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("succeeded", "failed", "cancelled")

    @property
    def text(self) -> str:
        """The final answer; empty while there is none."""
        content = ((self.outcome and self.outcome.message) or {}).get("content")
        return content if isinstance(content, str) else ""

    @property
    def usage(self) -> Usage:
        return self.outcome.usage if self.outcome else Usage()

    @property
    def agent(self) -> str:
        return (self.outcome and self.outcome.agent_id) or ""

    @property
    def pool(self) -> str:
        return (self.outcome and self.outcome.pool) or ""

    @property
    def model(self) -> str:
        return (self.outcome and self.outcome.model) or ""

    def raise_for_failure(self) -> Task:
        """Returns the task when it succeeded or is still open; raises the error it failed with."""
        if self.outcome and self.outcome.error:
            raise self.outcome.error.to_error()
        return self


class Tasks(Listing[Task]):
    columns: ClassVar[tuple[str, ...]] = ("id", "status", "pool", "agent", "model", "created_at", "finished_at")


class TaskEvent(Received):
    """One thing that happened to a task: each `step` as it is journaled, then `end` with the task.

    `id` is what resuming starts after; the end's is that of the last step.
    """

    id: str
    type: str
    data: dict[str, Any] = {}


class EventTrail:
    """Remembers how far one is in a task's events: what to resume after, and whether they have ended."""

    def __init__(self, after: str | None = None) -> None:
        self.after = after
        self.ended = False

    def take(self, event: ServerEvent) -> TaskEvent:
        try:
            data = json.loads(event.text)
        except ValueError:
            data = event.text
        if not isinstance(data, dict):
            data = {"value": data}
        self.after = event.id or self.after
        self.ended = self.ended or event.type == "end"
        return TaskEvent(id=event.id, type=event.type, data=data)


class TaskCalls(Calls[IO]):
    """`client.tasks`."""

    @call
    async def create(
        self,
        /,
        prompt: Prompt,
        *,
        model: str = "auto",
        metadata: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        **parameters: Any,
    ) -> Task:
        """Hands work over. Once this returns, the fleet will not lose it."""
        body = {"model": model, "messages": messages_of(prompt), **given(timeout_s=timeout_s)}
        if parameters:
            body["parameters"] = parameters
        if metadata:
            body["metadata"] = dict(metadata)
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return await self._exchange.send(Task, Request("POST", TASKS, json=body, headers=headers))

    @call
    async def get(self, task_id: str) -> Task:
        """Returns the task as it is now."""
        return await self._exchange.send(Task, Request("GET", path_of(TASKS, task_id)))

    @call
    async def list(self, *, status: str | None = None, limit: int = 50, before: str | None = None) -> Tasks:
        """Lists tasks, newest first; `before` is the id of the last one of the page before."""
        params = given(limit=limit, status=status or None, before=before or None)
        return await self._exchange.send(Tasks, Request("GET", TASKS, params))

    @call
    async def wait(self, task_id: str, *, timeout_s: float = 600.0, poll_s: float = 0.1) -> Task:
        """Returns the task once it has ended, well or not (`raise_for_failure`).

        Raises `TimedOut`; the task then goes on.
        """
        return await self._exchange.wait(Task, path_of(TASKS, task_id), task_id, timeout_s=timeout_s, poll_s=poll_s)

    @stream
    async def events(self, task_id: str, *, after: str | None = None) -> AsyncGenerator[TaskEvent, None]:
        """Yields all events of the task from the first (or the one after `after`), until it ends.

        A broken connection is resumed where it broke: no event is missed or seen twice.
        """
        trail = EventTrail(after)
        attempt = 0
        while not trail.ended:
            try:
                headers = {"Accept": "text/event-stream", **given(**{"Last-Event-ID": trail.after})}
                request = Request("GET", path_of(TASKS, task_id, "events"), headers=headers)
                async with aclosing(self._exchange.events(await self._exchange.start(request))) as events:
                    async for event in events:
                        attempt = 0
                        yield trail.take(event)
                if trail.ended:
                    return
                if (await self._exchange.send(Task, Request("GET", path_of(TASKS, task_id)))).ended:
                    return
                raise Unreachable(f"The events of {task_id} broke off before its end.", details={"sent": True})
            except OssaError as error:
                await self._exchange.pause_or_raise(attempt, error)
                attempt += 1

    @call
    async def route(self, task_id: str) -> Routes:
        """Returns where the task went, and why: one decision each turn."""
        return await self._exchange.send(Routes, Request("GET", path_of(TASKS, task_id, "route")))

    @call
    async def cancel(self, task_id: str) -> Task:
        """Asks for the end of a task; one that has ended stays as it is."""
        return await self._exchange.send(Task, Request("POST", path_of(TASKS, task_id, "cancel")))

    @call
    async def rate(self, task_id: str, rating: float | str, *, comment: str = "", expected: str = "") -> Feedback:
        """Says how good the answer of an ended task was: `up`, `down`, or 0 to 1. A second rating replaces the first.

        `expected` names the pool, manifest or agent that should have answered.
        """
        body = {"rating": rating, "comment": comment, "expected": expected}
        return await self._exchange.send(Feedback, Request("POST", path_of(TASKS, task_id, "feedback"), json=body))
