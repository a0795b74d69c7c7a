"""Whether a write to the journal may happen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.errors import Conflict, Fenced, IdempotencyConflict, InvalidRequest, NotFound
from ossa.contracts.task import NewTask, Step, TaskRequest, TaskStatus
from ossa.stores import journal_rules
from ossa.stores.journal_rules import TaskState

RUNNING = TaskState(TaskStatus.RUNNING, fence=2, next_seq=2, written={0: (1, "model"), 1: (2, "tool_call")})
QUEUED = TaskState(TaskStatus.QUEUED, fence=2, next_seq=2, written=RUNNING.written)
ENDED = TaskState(TaskStatus.FAILED, fence=2, next_seq=2, written=RUNNING.written)


def step(seq: int, kind: Any = "model") -> Step:
    return Step(seq=seq, kind=kind, agent_id="a", payload={}, at=datetime(2026, 1, 1, tzinfo=UTC))


def new(**fields: Any) -> NewTask:
    return NewTask(**{"id": "t", "tenant": "acme", "request": TaskRequest(messages=[]), "body_sha256": "b", **fields})


def test_steps_that_continue_the_task_are_all_written() -> None:
    steps = [step(2), step(3)]
    assert journal_rules.steps_to_append("t", RUNNING, fence=2, steps=steps) == steps


def test_of_a_retry_only_the_new_steps_are_written() -> None:
    assert journal_rules.steps_to_append("t", RUNNING, fence=2, steps=[step(1, "tool_call"), step(2)]) == [step(2)]


@pytest.mark.parametrize("steps", [[step(3)], [step(1, "model")], [step(0)]], ids=["gap", "kind", "fence"])
def test_a_gap_another_kind_and_another_fence_are_conflicts(steps: list[Step]) -> None:
    with pytest.raises(Conflict):
        journal_rules.steps_to_append("t", RUNNING, fence=2, steps=steps)


@pytest.mark.parametrize("fence", [1, 3])
@pytest.mark.parametrize("state", [RUNNING, QUEUED, ENDED])
def test_another_fence_is_fenced_whatever_the_task_does(state: TaskState, fence: int) -> None:
    with pytest.raises(Fenced):
        journal_rules.steps_to_append("t", state, fence=fence, steps=[step(2)])
    with pytest.raises(Fenced):
        journal_rules.steps_to_finish("t", state, fence=fence, status=TaskStatus.FAILED, steps=[])
    with pytest.raises(Fenced):
        journal_rules.may_release("t", state, fence=fence)


def test_an_unknown_task_is_not_found() -> None:
    with pytest.raises(NotFound):
        journal_rules.steps_to_append("t", None, fence=1, steps=[])
    with pytest.raises(NotFound):
        journal_rules.steps_to_finish("t", None, fence=1, status=TaskStatus.FAILED, steps=[])
    with pytest.raises(NotFound):
        journal_rules.may_release("t", None, fence=1)


def test_a_queued_task_belongs_to_nobody() -> None:
    with pytest.raises(Fenced):
        journal_rules.steps_to_append("t", QUEUED, fence=2, steps=[step(2)])
    with pytest.raises(Fenced):
        journal_rules.steps_to_finish("t", QUEUED, fence=2, status=TaskStatus.FAILED, steps=[])
    assert not journal_rules.may_release("t", QUEUED, fence=2)


def test_an_ended_task_ends_again_only_in_the_same_way() -> None:
    assert journal_rules.steps_to_finish("t", ENDED, fence=2, status=TaskStatus.FAILED, steps=[step(7)]) is None
    with pytest.raises(Conflict):
        journal_rules.steps_to_finish("t", ENDED, fence=2, status=TaskStatus.SUCCEEDED, steps=[])
    with pytest.raises(Conflict):
        journal_rules.steps_to_append("t", ENDED, fence=2, steps=[step(2)])
    assert not journal_rules.steps_to_append("t", ENDED, fence=2, steps=[step(1, "tool_call")])


def test_steps_of_one_write_follow_each_other() -> None:
    journal_rules.check_steps("t", [step(4), step(5)])
    with pytest.raises(Conflict):
        journal_rules.check_steps("t", [step(4), step(4)])


def test_the_same_key_with_another_body_is_an_idempotency_conflict() -> None:
    assert journal_rules.known_task(new(), task_id="other", tenant="acme", body_sha256="b") == "other"
    with pytest.raises(IdempotencyConflict):
        journal_rules.known_task(new(), task_id="other", tenant="acme", body_sha256="c")


def test_a_foreign_id_is_a_conflict_and_no_idempotency_conflict() -> None:
    with pytest.raises(Conflict) as caught:
        journal_rules.known_task(new(), task_id="t", tenant="other", body_sha256="b")
    assert type(caught.value) is Conflict


@pytest.mark.parametrize("fields", [{"tenant": "\0"}, {"idempotency_key": "\ud800"}, {"id": "a\0"}])
def test_text_that_cannot_be_kept_names_its_field(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        journal_rules.check_new(new(**fields), None)
    assert caught.value.param == next(iter(fields))
