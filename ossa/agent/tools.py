"""Tools: Python callables on an allow-list, with a JSON schema and a promise about their effects.

    @tool(effects="idempotent")
    async def book_room(room: str, nights: int, context: ToolContext) -> dict[str, str]:
        "Book a room. The same idempotency key books once."

    TOOLS = (book_room,)          # `fleet.tool_modules` names the module

A parameter annotated with `ToolContext` is not part of the schema; it is handed in.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_type_hints

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ossa.contracts.agent_hooks import ToolCall, ToolResult
from ossa.contracts.agent_spec import ToolRef
from ossa.contracts.task import Message
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.contracts.value import Clock, SystemClock

Effects = Literal["none", "idempotent", "at_most_once"]
"""What running a call again does, after a crash that hid its result.

none:          nothing; it may run any number of times.
idempotent:    the tool itself takes care, by the idempotency key; it is run again with the same key.
at_most_once:  it must not run again; the model is told that the outcome is unknown.
"""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class ToolContext:
    """Describes the call to its tool. The key is the same whenever this very call is run again."""

    task_id: str
    tenant: str
    agent_id: str
    idempotency_key: str
    config: dict[str, Any] = field(default_factory=dict)
    """The tool's `config` in the agent's manifest."""

    ask: Callable[[TurnCall], Awaitable[TurnCallResult]] | None = None
    """Asks the task's owner; None where there is none."""


class ArgumentsInvalid(ValueError):
    """The model's arguments do not fit the tool's schema. The message is written for the model."""


@dataclass(frozen=True)
class Tool:
    """One tool. `call` takes the arguments by name, and `context` if `takes_context`; it may be async.

    A synchronous `call` runs in a thread, which goes on after a timeout or a cancellation: bound it yourself.
    """

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[..., Any]
    effects: Effects
    timeout_s: float = 30.0
    takes_context: bool = False
    arguments: type[BaseModel] | None = None
    """Checks the arguments where the schema was derived from annotations; otherwise `schema` itself does."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a tool's name has 1 to 64 of A-Z a-z 0-9 _ -, which {self.name!r} has not")
        if self.timeout_s <= 0:
            raise ValueError(f"tool {self.name}: timeout_s must be above 0")

    @property
    def function(self) -> dict[str, Any]:
        """The tool as OpenAI's `tools` has it."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.schema},
        }

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments to call with. Raises `ArgumentsInvalid`."""
        if self.arguments is None:
            return _checked_by_schema(self.schema, arguments)
        try:
            checked = self.arguments.model_validate(arguments)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors()]
            raise ArgumentsInvalid("; ".join(faults)) from None
        return {name: getattr(checked, name) for name in type(checked).model_fields}


def tool(
    *, effects: Effects, name: str | None = None, description: str | None = None, timeout_s: float = 30.0
) -> Callable[[Callable[..., Any]], Tool]:
    """Make a function a `Tool`; its schema follows from its annotations, its description from its docstring.

    `effects` has no default: a wrong guess runs something twice. Raises
    `TypeError` for a parameter without annotation, or one given by position only.
    """

    def make(call: Callable[..., Any]) -> Tool:
        fields, takes_context = _fields(call)
        tool_name = name or call.__name__
        model = create_model(f"{tool_name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        return Tool(
            name=tool_name,
            description=description or inspect.getdoc(call) or tool_name,
            schema=_plain(model.model_json_schema()),
            call=call,
            effects=effects,
            timeout_s=timeout_s,
            takes_context=takes_context,
            arguments=model,
        )

    return make


def _fields(call: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    hints = get_type_hints(call, include_extras=True)
    fields: dict[str, Any] = {}
    takes_context = False
    for parameter in inspect.signature(call).parameters.values():
        if hints.get(parameter.name) is ToolContext:
            if parameter.name != "context":
                raise TypeError(f"{call.__name__}: the parameter that takes the ToolContext is named `context`")
            takes_context = True
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{call.__name__}: parameter {parameter.name} cannot be given by name")
        if parameter.name not in hints:
            raise TypeError(f"{call.__name__}: parameter {parameter.name} needs an annotation")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    return fields, takes_context


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Removes the titles that pydantic makes up: they cost tokens in every call."""
    schema.pop("title", None)
    for name in ("properties", "$defs"):
        for part in schema.get(name, {}).values():
            if isinstance(part, dict):
                _plain(part)
    return schema


def _checked_by_schema(schema: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    # Imported on use: tools with a schema of their own are few, and Ray's workers have it loaded already.
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema).iter_errors(arguments), key=lambda error: list(map(str, error.path)))
    if errors:
        faults = [f"{'.'.join(map(str, error.path)) or 'arguments'}: {error.message}" for error in errors[:5]]
        raise ArgumentsInvalid("; ".join(faults)[:1000])
    return arguments


BUILTIN_TOOLS: tuple[str, ...] = ("calculator", "clock", "json_query", "recall", "remember", "text_stats")
"""The modules of `ossa.agent.builtin_tools`, each with the tool of its name."""

ReadStatus = Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Reads the fleet's state for the tool `fleet_status`."""

_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")


class BoundTools(NamedTuple):
    """A manifest's tools that may run, by the name the model calls them; `missing` are not on the allow-list."""

    tools: Mapping[str, Tool]
    configs: Mapping[str, dict[str, Any]]
    missing: tuple[str, ...]


class ToolRegistry:
    """Tools by name. `ToolRegistry.load(modules)` is what a process starts with."""

    def __init__(self, allow: Iterable[Tool]) -> None:
        """Raises `ValueError` when two tools share a name (`-`, `_`, `.` and case make no difference)."""
        self._tools: dict[str, Tool | str] = {}
        """A string is the name of a built-in tool that nobody needed yet."""
        for each in allow:
            self._add(each.name, each)

    def _add(self, name: str, tool: Tool | str) -> None:
        if self._tools.setdefault(_key(name), tool) is not tool:
            raise ValueError(f"two tools are named {name!r}")

    @classmethod
    def load(cls, modules: Sequence[str] = (), *, fleet_status: ReadStatus | None = None) -> ToolRegistry:
        """The built-in tools and those in each module's `TOOLS`.

        Raises `ImportError` for a module that cannot be imported, `TypeError`
        for one whose `TOOLS` are absent or no `Tool`s, `ValueError` for a name taken.
        """
        registry = cls(each for name in modules for each in _tools_of(name))
        for name in BUILTIN_TOOLS:
            registry._add(name, name)
        if fleet_status is not None:
            registry._add("fleet_status", fleet_status_tool(fleet_status))
        return registry

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each if isinstance(each, str) else each.name for each in self._tools.values())

    def bind(self, refs: Sequence[ToolRef]) -> BoundTools:
        """Looks up a manifest's tools."""
        tools: dict[str, Tool] = {}
        configs: dict[str, dict[str, Any]] = {}
        missing: list[str] = []
        for ref in refs:
            tool = self._tool(_key(ref.name))
            if tool is None:
                missing.append(ref.name)
            else:
                tools[tool.name], configs[tool.name] = tool, ref.config
        return BoundTools(tools, configs, tuple(missing))

    def _tool(self, key: str) -> Tool | None:
        tool = self._tools.get(key)
        if isinstance(tool, str):
            tool = self._tools[key] = builtin_tool(tool)
        return tool


def builtin_tool(name: str) -> Tool:
    """Imports a built-in tool. Raises `ImportError` for a name that is not in `BUILTIN_TOOLS`."""
    tool = getattr(importlib.import_module(f"ossa.agent.builtin_tools.{name}"), name)
    assert isinstance(tool, Tool)
    return tool


def fleet_status_tool(read: ReadStatus) -> Tool:
    """Returns the tool `fleet_status`, which reads the fleet in numbers through this callable."""

    @tool(effects="none", timeout_s=10)
    async def fleet_status() -> Mapping[str, Any]:
        """The fleet's pools now: agents wanted, ready and starting in each."""
        status = read()
        return await status if inspect.isawaitable(status) else status

    return fleet_status


def _key(name: str) -> str:
    return _SEPARATORS.sub("_", name).strip("_").lower()


def _tools_of(name: str) -> list[Tool]:
    tools = getattr(importlib.import_module(name), "TOOLS", None)
    if tools is None:
        raise TypeError(f"the tool module {name} has no TOOLS")
    for tool in tools:
        if not isinstance(tool, Tool):
            raise TypeError(f"TOOLS of {name} holds {tool!r}, which is no Tool (see ossa.agent.tool)")
    return list(tools)


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
        more = {key: value for key, value in raw.items() if key != "index"} if isinstance(raw, dict) else {}
        calls.append({**more, "id": call_id, "type": "function", "function": function})
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
