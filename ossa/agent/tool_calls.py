"""Tool calls: read from an assistant message and named uniquely; run within bounds, with errors for the model."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Collection
from typing import Any

import orjson

from ossa.agent.tools import Tool, ToolContext
from ossa.contracts.agent_hooks import ToolCall, ToolResult
from ossa.contracts.clock import Clock, SystemClock
from ossa.contracts.task import Message

log = logging.getLogger("ossa.agent")

_ID_MAX = 64
MAX_RESULT_BYTES = 64 * 1024
_ERROR_MAX = 2000

INTERRUPTED = (
    "The outcome is unknown: the call was interrupted, and it must not be made twice. "
    "It may or may not have taken effect; check before you try again."
)


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


def unknown_tool(call: ToolCall, known: list[str]) -> ToolResult:
    return ToolResult(f"There is no tool {call.name!r}. There are: {', '.join(known) or 'none'}.", is_error=True)


async def run_tool(
    tool: Tool,
    call: ToolCall,
    context: ToolContext,
    *,
    clock: Clock | None = None,
    max_result_bytes: int = MAX_RESULT_BYTES,
) -> ToolResult:
    """Runs the call. Raises only when cancelled: any other failure is a result with `is_error`."""
    try:
        arguments = tool.check(parsed_arguments(call))
    except ValueError as error:
        return ToolResult(str(error)[:_ERROR_MAX], is_error=True)
    if tool.takes_context:
        arguments["context"] = context
    try:
        async with (clock or SystemClock()).timeout(tool.timeout_s) as bound:
            value = await _call_tool(tool, arguments)
        return ToolResult(_bounded(_text(value), max_result_bytes))
    except TimeoutError as error:
        if not bound.expired():
            return _failed(tool, context, error)
        log.warning("tool_timed_out", extra={"tool": tool.name, "task_id": context.task_id})
        rest = "" if tool.effects == "none" else " It may still have taken effect."
        return ToolResult(f"The tool did not answer within {tool.timeout_s:g} s.{rest}", is_error=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a tool is foreign code; its failure is an answer
        return _failed(tool, context, error)


def _failed(tool: Tool, context: ToolContext, error: BaseException) -> ToolResult:
    log.warning(
        "tool_failed",
        extra={"tool": tool.name, "task_id": context.task_id, "error": type(error).__name__},
        exc_info=error if not isinstance(error, ValueError) else None,
    )
    return ToolResult(f"{type(error).__name__}: {error}"[:_ERROR_MAX], is_error=True)


async def _call_tool(tool: Tool, arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(tool.call):
        return await tool.call(**arguments)
    value = await asyncio.to_thread(tool.call, **arguments)
    return await value if inspect.isawaitable(value) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _bounded(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()  # a lone surrogate would not survive the journal
    return f"{data[:limit].decode('utf-8', 'ignore')}\n[cut: {limit} of {len(data)} bytes]"
