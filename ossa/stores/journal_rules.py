"""Whether a write to the journal may happen. Pure; every store decides by it, so that all decide alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ossa.contracts.errors import Conflict, Fenced, IdempotencyConflict, InvalidRequest, NotFound
from ossa.contracts.task import NewTask, Outcome, Step, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskState:
    """What the journal holds of a task when a write arrives.

    `written` maps seq to (fence, kind); it covers at least the seqs the write names.
    """

    status: TaskStatus
    fence: int
    next_seq: int
    written: Mapping[int, tuple[int, str]]


def check_new(new: NewTask, owner: str | None) -> None:
    """Raises `InvalidRequest` for text that PostgreSQL cannot keep."""
    texts = (("id", new.id), ("tenant", new.tenant), ("idempotency_key", new.idempotency_key), ("owner", owner))
    for param, text in texts:
        if text is not None and ("\0" in text or not (text.isascii() or _is_unicode(text))):
            raise InvalidRequest(f"{param} holds a NUL or half a character; leave it out.", param=param)


def check_steps(task_id: str, steps: Sequence[Step]) -> None:
    """Raises `Conflict` when the seqs of one write do not follow each other."""
    for before, after in pairwise(steps):
        if after.seq != before.seq + 1:
            raise Conflict(f"Steps {before.seq} and {after.seq} of {task_id} do not follow each other.")


def check_outcome(outcome: Outcome) -> None:
    if not outcome.status.ended:
        raise InvalidRequest(f"{outcome.status} is not an end; use succeeded, failed or cancelled.", param="status")


def known_task(new: NewTask, *, task_id: str, tenant: str, body_sha256: str) -> str:
    """The id of the task that already stands where `new` would: the same key, or the same id.

    Raises `IdempotencyConflict` when the key came with another body, `Conflict` for a foreign id.
    """
    if task_id == new.id and (tenant != new.tenant or body_sha256 != new.body_sha256):
        raise Conflict(f"A task {task_id} exists already; take a fresh id.", param="id")
    if body_sha256 != new.body_sha256:
        raise IdempotencyConflict(
            "This Idempotency-Key was used with another body; take a fresh key.", param="idempotency_key"
        )
    return task_id


def steps_to_append(task_id: str, state: TaskState | None, *, fence: int, steps: Sequence[Step]) -> Sequence[Step]:
    """The steps not yet written; empty when there is nothing to do. Raises `NotFound`, `Fenced`, `Conflict`."""
    state = _held(task_id, state, fence)
    missing = _unwritten(task_id, state, steps)
    if state.status is TaskStatus.RUNNING or not missing:
        return missing
    if state.status is TaskStatus.QUEUED:
        raise _fenced(task_id, fence)
    raise Conflict(f"{task_id} has ended as {state.status}; it takes no more steps.")


def steps_to_finish(
    task_id: str, state: TaskState | None, *, fence: int, status: TaskStatus, steps: Sequence[Step]
) -> Sequence[Step] | None:
    """The steps not yet written; None when the task ended so already. Raises `NotFound`, `Fenced`, `Conflict`."""
    state = _held(task_id, state, fence)
    if state.status.ended:
        if state.status is status:
            return None
        raise Conflict(f"{task_id} has ended as {state.status}; it cannot end as {status}.")
    if state.status is TaskStatus.QUEUED:
        raise _fenced(task_id, fence)
    return _unwritten(task_id, state, steps)


def may_release(task_id: str, state: TaskState | None, *, fence: int) -> bool:
    """False when it is queued already. Raises `NotFound`, `Fenced`."""
    state = _held(task_id, state, fence)
    if state.status.ended:
        raise _fenced(task_id, fence)
    return state.status is TaskStatus.RUNNING


def _held(task_id: str, state: TaskState | None, fence: int) -> TaskState:
    if state is None:
        raise NotFound(f"There is no task {task_id}.")
    if state.fence != fence:
        raise _fenced(task_id, fence)
    return state


def _fenced(task_id: str, fence: int) -> Fenced:
    return Fenced(f"{task_id} no longer belongs to the holder of fence {fence}; drop it.")


def _unwritten(task_id: str, state: TaskState, steps: Sequence[Step]) -> Sequence[Step]:
    if not steps:
        return steps
    if steps[0].seq > state.next_seq:
        raise Conflict(f"{task_id} continues at step {state.next_seq}, not {steps[0].seq}.")
    known = [step for step in steps if step.seq < state.next_seq]
    for step in known:
        if state.written.get(step.seq) != (state.fence, step.kind):
            raise Conflict(f"Step {step.seq} of {task_id} is already there as another one.")
    return steps[len(known) :]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
