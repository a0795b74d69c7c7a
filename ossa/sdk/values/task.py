"""A task as the fleet shows it, and the events of its life."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from ossa.contracts.errors import OssaError, error_types
from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received
from ossa.sdk.values.usage import Usage


class Failure(Received):
    """An error as data."""

    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None

    def to_error(self) -> OssaError:
        return error_types().get(self.code, OssaError)(self.message, self.param, self.retry_after_s)


class Outcome(Received):
    """How a task ended."""

    status: str
    message: dict[str, Any] | None = None
    finish_reason: str | None = None
    error: Failure | None = None
    usage: Usage = Usage()
    agent_id: str | None = None
    pool: str | None = None
    model: str | None = None
    tier: str | None = None


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
        """Itself when it succeeded or is still open; raises the error it failed with."""
        if self.outcome and self.outcome.error:
            raise self.outcome.error.to_error()
        return self


class Tasks(Listing[Task]):
    columns: ClassVar[tuple[str, ...]] = ("id", "status", "pool", "agent", "model", "created_at", "finished_at")


class TaskEvent(Received):
    """One thing that happened to a task: `step`s as they are journaled, then `end` with the task.

    `id` is what resuming starts after; the end's is that of the last step.
    """

    id: str
    type: str
    data: dict[str, Any] = {}
