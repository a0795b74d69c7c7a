"""Tool calls in an assistant message: read, named uniquely, told apart. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from ossa.contracts.agent_hooks import ToolCall
from ossa.contracts.task import Message

_ID_MAX = 64


def parsed_arguments(call: ToolCall) -> dict[str, Any]:
    """Raises `ValueError`, with a message for the model."""
    if not call.arguments.strip():
        return {}
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the arguments are not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise ValueError("the arguments must be a JSON object")
    return arguments


def idempotency_key(task_id: str, call_id: str) -> str:
    """The same for a call whenever and wherever it is run."""
    return f"{task_id}:{call_id}"


def calls_of(message: Message) -> tuple[ToolCall, ...]:
    """The calls in a message, in order; what is malformed becomes a call that fails with a reason."""
    return tuple(_call(raw) for raw in message.get("tool_calls") or ())


def with_unique_ids(message: Message, *, seq: int, taken: Collection[str]) -> Message:
    """The message, with `call_{seq}_{i}` for each id that is missing, taken, repeated or unreasonably long.

    `seq` is the model step's, so ids are unique in a task and the same on every replay.
    """
    raw_calls = message.get("tool_calls")
    if not raw_calls:
        return {key: value for key, value in message.items() if key != "tool_calls"}
    seen = set(taken)
    calls: list[dict[str, Any]] = []
    for i, raw in enumerate(raw_calls):
        call = _call(raw)
        call_id = call.call_id
        if not call_id or call_id in seen or len(call_id) > _ID_MAX:
            call_id = f"call_{seq}_{i}"
            while call_id in seen:
                call_id += "_"
        seen.add(call_id)
        function = {"name": call.name, "arguments": call.arguments}
        calls.append({"id": call_id, "type": "function", "function": function})
    return {**message, "tool_calls": calls}


def only(message: Message, names: Collection[str]) -> Message:
    """The message with the calls of these tools alone."""
    calls = [raw for raw in message["tool_calls"] if _call(raw).name in names]
    return {**message, "tool_calls": calls}


def _call(raw: Any) -> ToolCall:
    raw = raw if isinstance(raw, dict) else {}
    function = raw.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    # Some endpoints send the arguments as an object.
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    call_id = raw.get("id")
    return ToolCall(call_id if isinstance(call_id, str) else "", str(function.get("name") or ""), text)
