"""Rows become values."""

from __future__ import annotations

from typing import Any

from ossa.contracts.access import ApiKey
from ossa.contracts.stores import Backlog
from ossa.contracts.task import Outcome, Target, Task, TaskRequest, TaskStatus
from ossa.stores.journal_rules import TaskState


def task_of(row: dict[str, Any]) -> Task:
    fields = dict(row)
    fields["request"] = TaskRequest.model_validate_json(fields["request"])
    if fields["outcome"] is not None:
        fields["outcome"] = Outcome.model_validate_json(fields["outcome"])
    return Task(**fields)


def backlog_of(row: dict[str, Any]) -> Backlog:
    """A target that cannot be read is `auto`: it waits all the same."""
    target = Target.model_validate_json(row["target"]) if row["target"] else Target()
    return Backlog(target=target, tasks=row["tasks"])


def task_state_of(row: dict[str, Any]) -> TaskState:
    written = dict(zip(row["seqs"], zip(row["fences"], row["kinds"], strict=True), strict=True))
    return TaskState(status=TaskStatus(row["status"]), fence=row["fence"], next_seq=row["next_seq"], written=written)


def key_of(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**row)
