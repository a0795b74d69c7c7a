"""What a write to the journal tells, as the outbox keeps it. Pure; every store tells alike.

An entry's body is a JSON list of happenings, each `[name, type, time or null, data]`: small, made from what the write
holds anyway, and readable by a program that does not know the type. Prompts, answers and arguments stay in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ossa.contracts.events import SCHEMA_URN, TASK_ACCEPTED, TASK_FINISHED, TASK_STEP, Event
from ossa.contracts.task import NewTask, Outcome, Step, Usage

MOST_CHARS = 256
"""The most characters of a name: some come from a model or a caller, who may have written a book."""

MOST_AMOUNT = 2**53
"""Integers from here on are not exact in every reader of JSON."""

_TOOL_KINDS = ("tool_call", "tool_result")


def of_accept(new: NewTask) -> bytes:
    request = new.request
    data = {"task": new.id, "target": str(request.target)[:MOST_CHARS], "asynchronous": request.asynchronous}
    return orjson.dumps([["accepted", TASK_ACCEPTED, None, data]])


def of_append(task_id: str, steps: Sequence[Step]) -> bytes | None:
    """None: it tells nothing."""
    return orjson.dumps([_step(task_id, step) for step in steps]) if steps else None


def of_finish(task_id: str, steps: Sequence[Step], outcome: Outcome) -> bytes:
    return orjson.dumps([*(_step(task_id, step) for step in steps), _finish(task_id, outcome)])


def events_of(body: bytes | str, *, task_id: str, tenant: str, at: datetime, source: str) -> tuple[Event, ...]:
    """The events of one entry. `at` is the time of those that have none of their own."""
    return tuple(
        Event(
            id=f"{task_id}:{name}",
            source=source,
            type=kind,
            subject=task_id,
            time=at if time is None else datetime.fromisoformat(time),
            dataschema=SCHEMA_URN + kind,
            partitionkey=task_id,
            tenant=tenant,
            data=data,
        )
        for name, kind, time, data in orjson.loads(body)
    )


def _step(task_id: str, step: Step) -> list[Any]:
    data: dict[str, Any] = {
        "task": task_id,
        "seq": step.seq,
        "kind": step.kind,
        "agent": step.agent_id[:MOST_CHARS],
        "usage": _usage(step.usage),
    }
    if step.kind in _TOOL_KINDS:
        name = step.payload.get("name")
        if isinstance(name, str):
            data["tool"] = name[:MOST_CHARS]
        if step.kind == "tool_result":
            data["failed"] = bool(step.payload.get("is_error"))
    return [str(step.seq), TASK_STEP, step.at, data]


def _finish(task_id: str, outcome: Outcome) -> list[Any]:
    named = {
        "agent": outcome.agent_id,
        "pool": outcome.pool,
        "manifest": outcome.manifest,
        "model": outcome.model,
        "tier": outcome.tier,
        "finish_reason": outcome.finish_reason,
        "error": outcome.error.code if outcome.error else None,
    }
    data: dict[str, Any] = {"task": task_id, "status": outcome.status.value, "usage": _usage(outcome.usage)}
    data.update((name, text[:MOST_CHARS]) for name, text in named.items() if text is not None)
    return ["finished", TASK_FINISHED, None, data]


def _usage(usage: Usage) -> dict[str, float]:
    """What is zero, or cannot be true, is left out."""
    found = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "saved_tokens": usage.saved_tokens,
        "cost_usd": usage.cost_usd,
        "model_calls": usage.model_calls,
    }
    return {name: amount for name, amount in found.items() if 0 < amount < MOST_AMOUNT}
