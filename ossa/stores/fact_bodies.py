"""The fact log's rows: what a write tells, as the log keeps it. Pure; every store tells alike.

A row's body is a JSON list of `[key, happenings, origin]`, one for each key. Happenings are `[name, type, time or null,
data]`; the origin is `[actor, request id, traceparent]`, and is left out where nothing of it is known. So it is small,
made from what the write holds anyway, and readable by a program that does not know a type. A message that came from
elsewhere is an object instead.

The functions that encode return a *telling*: the bytes `happenings` or `happenings,origin`, without key and brackets.
Without an origin they take the current one.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ossa.contracts.events import SCHEMA_URN, TASK_ACCEPTED, TASK_FINISHED, TASK_STEP, Event, Fact, LogItem, Message
from ossa.contracts.facts import MOST_CHARS
from ossa.contracts.origin import Origin, current_origin
from ossa.contracts.task import NewTask, Outcome, Step, Usage

MOST_AMOUNT = 2**53
"""Integers from here on are not exact in every reader of JSON."""

MOST_ITEMS = 2**16
"""The most items of a row: an offset is the row's position times this, and the item's number."""

_TOOL_KINDS = ("tool_call", "tool_result")


def of_accept(new: NewTask, origin: Origin | None = None) -> bytes:
    request = new.request
    data = {"task": new.id, "target": str(request.target)[:MOST_CHARS], "asynchronous": request.asynchronous}
    return _telling([["accepted", TASK_ACCEPTED, None, data]], origin)


def of_append(task_id: str, steps: Sequence[Step], origin: Origin | None = None) -> bytes | None:
    """None: it tells nothing."""
    return _telling([_step(task_id, step) for step in steps], origin) if steps else None


def of_finish(task_id: str, steps: Sequence[Step], outcome: Outcome, origin: Origin | None = None) -> bytes:
    return _telling([*(_step(task_id, step) for step in steps), _finish(task_id, outcome)], origin)


def of_fact(fact: Fact) -> bytes:
    """Any other fact's telling."""
    data = fact.data.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    required = {name for name, field in type(fact.data).model_fields.items() if field.is_required()}
    data |= {name: value for name, value in fact.data.model_dump(mode="json").items() if name in required}
    return _telling([[fact.name or secrets.token_hex(8), fact.data.TYPE, fact.time, data]], fact.origin)


def body_of(tellings: Sequence[tuple[str, bytes]]) -> bytes:
    """Keys and their tellings as a row's body."""
    return b"[%b]" % b",".join(b"[%b,%b]" % (orjson.dumps(key), telling) for key, telling in tellings)


def body_of_messages(messages: Sequence[Message]) -> bytes:
    return orjson.dumps(
        [
            {
                "key": message.key,
                "headers": dict(message.headers),
                "value": base64.b64encode(message.value).decode(),
            }
            for message in messages
        ]
    )


def items_of(
    body: bytes | str, *, position: int, tenant: str, at: datetime, source: str, topic: str
) -> tuple[LogItem, ...]:
    """The items of one row. `at` is the time of events that have none of their own."""
    offset = position * MOST_ITEMS
    items: list[LogItem] = []
    for entry in orjson.loads(body):
        if isinstance(entry, dict):
            value = base64.b64decode(entry["value"])
            content: Event | Message = Message(topic, entry["key"], value, entry["headers"])
            items.append(LogItem(offset + len(items), entry["key"], content))
            continue
        key, happenings = entry[0], entry[1]
        actor, request_id, traceparent = entry[2] if len(entry) > 2 else ("", "", "")
        for name, kind, time, data in happenings:
            fields = {
                "specversion": "1.0",
                "id": f"{key}:{name}",
                "source": source,
                "type": kind,
                "subject": key,
                "time": at if time is None else datetime.fromisoformat(time),
                "datacontenttype": "application/json",
                "dataschema": SCHEMA_URN + kind,
                "partitionkey": key,
                "tenant": tenant,
                "actor": actor,
                "requestid": request_id,
                "traceparent": traceparent,
                "data": data,
            }
            items.append(LogItem(offset + len(items), key, _event(fields)))
    return tuple(items)


_EVENT_FIELDS = set(Event.model_fields)


def _event(fields: dict[str, Any]) -> Event:
    """`Event.model_construct`, which takes five times as long, for all fields at once."""
    event = Event.__new__(Event)
    object.__setattr__(event, "__dict__", fields)
    object.__setattr__(event, "__pydantic_fields_set__", _EVENT_FIELDS)
    object.__setattr__(event, "__pydantic_extra__", None)
    object.__setattr__(event, "__pydantic_private__", None)
    return event


def _telling(happenings: list[list[Any]], origin: Origin | None = None) -> bytes:
    origin = origin or current_origin()
    if not (origin.actor or origin.request_id or origin.traceparent):
        return orjson.dumps(happenings)
    where = [origin.actor[:MOST_CHARS], origin.request_id[:MOST_CHARS], origin.traceparent[:MOST_CHARS]]
    return b"%b,%b" % (orjson.dumps(happenings), orjson.dumps(where))


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
    amounts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "saved_tokens": usage.saved_tokens,
        "cost_usd": usage.cost_usd,
        "model_calls": usage.model_calls,
    }
    return {name: amount for name, amount in amounts.items() if 0 < amount < MOST_AMOUNT}
