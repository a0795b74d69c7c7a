"""Tools: Python callables on an allow-list, with a JSON schema and a promise about their effects.

    @tool(effects="idempotent")
    async def book_room(room: str, nights: int, context: ToolContext) -> dict[str, str]:
        "Book a room. The same idempotency key books once."

    TOOLS = (book_room,)          # `fleet.tool_modules` names the module

A parameter annotated with `ToolContext` is not part of the schema; it is handed in.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ossa.contracts.turn import TurnCall, TurnCallResult

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
