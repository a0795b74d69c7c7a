"""Running one tool call: its arguments checked, its time and its result bounded, its errors told to the model."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import orjson

from ossa.agent.tool_calls import parsed_arguments
from ossa.agent.tools import Tool, ToolContext
from ossa.contracts.agent_hooks import ToolCall, ToolResult
from ossa.contracts.clock import Clock, SystemClock

log = logging.getLogger("ossa.agent")

MAX_RESULT_BYTES = 64 * 1024
_ERROR_MAX = 2000

INTERRUPTED = (
    "The outcome is unknown: the call was interrupted, and it must not be made twice. "
    "It may or may not have taken effect; check before you try again."
)


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
    """Never raises but when cancelled: what goes wrong is an answer with `is_error`."""
    try:
        arguments = tool.check(parsed_arguments(call))
    except ValueError as error:
        return ToolResult(str(error)[:_ERROR_MAX], is_error=True)
    if tool.takes_context:
        arguments["context"] = context
    try:
        async with (clock or SystemClock()).timeout(tool.timeout_s) as bound:
            found = await _call(tool, arguments)
        return ToolResult(_bounded(_text(found), max_result_bytes))
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


async def _call(tool: Tool, arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(tool.call):
        return await tool.call(**arguments)
    found = await asyncio.to_thread(tool.call, **arguments)
    return await found if inspect.isawaitable(found) else found


def _text(found: Any) -> str:
    if isinstance(found, str):
        return found
    return orjson.dumps(found, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _bounded(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()  # a lone surrogate would not survive the journal
    return f"{data[:limit].decode('utf-8', 'ignore')}\n[cut: {limit} of {len(data)} bytes]"
