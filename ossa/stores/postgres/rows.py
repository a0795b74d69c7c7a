"""Rows become values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from ossa.contracts.access import ApiKey
from ossa.contracts.stores import Backlog
from ossa.contracts.task import Outcome, Target, Task, TaskRequest, TaskStatus
from ossa.stores.journal_rules import TaskState
from ossa.stores.postgres.connection import Row


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
    return ApiKey(**{name: value for name, value in row.items() if name != "told"})


logger = logging.getLogger(__name__)
T = TypeVar("T")


def readable(rows: Iterable[Row], make: Callable[[Row], T], *, what: str, named: str) -> list[tuple[Row, T]]:
    """Each row that `make` can read, and what it made.

    Args:
        what: of the log entry.
        named: the column that names the row there; nothing else of it is logged.
    """
    read: list[tuple[Row, T]] = []
    for row in rows:
        try:
            read.append((row, make(row)))
        except ValidationError as error:
            fields = sorted({".".join(map(str, fault["loc"][:1])) for fault in error.errors()})
            logger.error("store_row_unreadable", extra={"what": what, named: row[named], "fields": fields})
    return read
