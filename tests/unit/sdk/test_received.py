"""What a newer fleet sends is read by an older client."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ossa.contracts.task import ErrorInfo, TaskStatus
from ossa.sdk.errors import UnexpectedAnswer
from ossa.sdk.exchange import Request
from ossa.sdk.fleet import Operation, Operations
from ossa.sdk.received import read
from ossa.sdk.scaling import Scaling
from ossa.sdk.tasks import Task

NOW = "2026-01-01T00:00:00Z"


def operation(**fields: Any) -> dict[str, Any]:
    usual = {"id": "op_1", "tenant": "a", "kind": "drain", "status": "pending", "created_at": NOW, "updated_at": NOW}
    return {**usual, **fields}


def test_fields_that_are_new_are_ignored_at_every_depth() -> None:
    task = read(Task, {"id": "t", "status": "failed", "outcome": {"status": "failed", "mood": 1, "usage": {"gold": 2}}})
    assert task.outcome is not None and task.outcome.status is TaskStatus.FAILED
    assert not hasattr(task.outcome, "mood")


def test_members_of_enums_and_literals_that_are_new_stay_strings() -> None:
    (found,) = read(Operations, {"data": [operation(kind="teleport", status="paused")]})
    assert (found.kind, found.status, found.ended) == ("teleport", "paused", False)
    assert found.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    body = {"mode": "psychic", "rules": {"cpu": 0.5, "moon": 1}, "decision": {"at": NOW, "by": "moon"}}
    scaling = read(Scaling, body)
    assert scaling.decision is not None
    assert (scaling.mode, scaling.rules.cpu, scaling.decision.by) == ("psychic", 0.5, "moon")


def test_a_value_of_a_newer_fleet_can_be_pickled_and_compared() -> None:
    found = read(Operation, operation(kind="teleport", error={"code": "new_code", "message": "no room", "more": 1}))
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.error == ErrorInfo(code="new_code", message="no room")


def test_what_is_not_of_that_kind_is_still_an_error() -> None:
    for body in ([], {"id": "op_1"}, operation(created_at="yesterday")):
        with pytest.raises(ValueError):
            read(Operation, body)


def test_an_answer_that_is_not_of_that_kind_names_the_request() -> None:
    def parse(response: httpx.Response) -> Operation:
        return read(Operation, response.json())

    with pytest.raises(UnexpectedAnswer, match="GET /x answered 200 with a body that cannot be read"):
        Request("GET", "/x").read(httpx.Response(200, json={}), parse)
