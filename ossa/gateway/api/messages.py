"""Checks chat messages, targets and model parameters. By hand: a validator a message costs too much on the hot path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ossa.contracts.errors import InvalidRequest, NotFound
from ossa.contracts.task import Message, Target

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
PARTS = frozenset({"text", "refusal", "image_url", "input_audio", "file"})
MAX_NAME = 253


def read_messages(found: Any, *, at_most: int) -> list[Message]:
    """Raises `InvalidRequest` naming the message and field."""
    if not isinstance(found, list) or not found:
        raise InvalidRequest("messages must be a list with at least one message.", param="messages")
    if len(found) > at_most:
        raise InvalidRequest(f"messages has {len(found)} entries; at most {at_most} are taken.", param="messages")
    for position, message in enumerate(found):
        _check_message(message, f"messages.{position}")
    return found


def asked_messages(messages: list[Message] | None, text: str | None, *, at_most: int, path: str = "") -> list[Message]:
    """Of a body that has either `messages`, or `input` for one user message. Raises `InvalidRequest`."""
    if (messages is None) == (text is None):
        raise InvalidRequest(f"Give either {path}messages or {path}input.", param=f"{path}messages")
    return read_messages(messages or [{"role": "user", "content": text}], at_most=at_most)


def _check_message(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{path} must be an object with a role and content.", param=path)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{path}.role must be one of {', '.join(sorted(ROLES))}.", param=f"{path}.role")
    content = message.get("content")
    if isinstance(content, str):
        pass
    elif isinstance(content, list):
        _check_parts(content, f"{path}.content")
    elif content is not None or role != "assistant" or not (message.get("tool_calls") or message.get("function_call")):
        raise InvalidRequest(f"{path}.content must be text or a list of parts.", param=f"{path}.content")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise InvalidRequest(f"{path}.tool_call_id must say which call this answers.", param=f"{path}.tool_call_id")
    if not isinstance(message.get("name", ""), str | None):
        raise InvalidRequest(f"{path}.name must be text.", param=f"{path}.name")
    if message.get("tool_calls") is not None:
        _check_tool_calls(message["tool_calls"], f"{path}.tool_calls")


def _check_parts(parts: list[Any], path: str) -> None:
    if not parts:
        raise InvalidRequest(f"{path} is empty.", param=path)
    for position, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidRequest(f"{path}.{position} must be an object with a type.", param=f"{path}.{position}")
        kind = part["type"]
        where = f"{path}.{position}.{kind}"
        if kind not in PARTS:
            raise InvalidRequest(
                f"{path}.{position}.type must be one of {', '.join(sorted(PARTS))}.", param=f"{path}.{position}.type"
            )
        if kind in ("text", "refusal"):
            if not isinstance(part.get(kind), str):
                raise InvalidRequest(f"{where} must be text.", param=where)
        elif not isinstance(part.get(kind), dict):
            raise InvalidRequest(f"{where} must be an object.", param=where)
        elif kind == "image_url" and not isinstance(part[kind].get("url"), str):
            raise InvalidRequest(f"{where}.url must be text.", param=f"{where}.url")


def _check_tool_calls(calls: Any, path: str) -> None:
    if not isinstance(calls, list):
        raise InvalidRequest(f"{path} must be a list.", param=path)
    for position, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(call.get("id"), str)
            or not isinstance(function.get("name"), str)
            or not isinstance(function.get("arguments"), str)
        ):
            where = f"{path}.{position}"
            raise InvalidRequest(f"{where} must have an id and a function with a name and arguments.", param=where)


def read_target(found: Any, *, param: str = "model") -> Target:
    """`auto`, `pool/NAME` or `agent/NAME`. Raises `InvalidRequest`, `NotFound`."""
    if not isinstance(found, str) or not found:
        raise InvalidRequest(f"{param} must be `auto`, `pool/NAME` or `agent/NAME`.", param=param)
    if found == "auto":
        return Target()
    kind, slash, name = found.partition("/")
    if slash and name and len(name) <= MAX_NAME:
        if kind == "pool":
            return Target(kind="pool", name=name)
        if kind == "agent":
            return Target(kind="agent", name=name)
    raise NotFound(
        f"There is no model {found[:MAX_NAME]!r}: use `auto`, `pool/NAME` or `agent/NAME`; GET /v1/models lists them.",
        param=param,
    )


MAX_TOOLS = 1024
MAX_TOOL_NAME = 256
CHOICES = ("none", "auto", "required")


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raises `InvalidRequest` naming the field. Fields that are not known are not looked at."""
    for name, value in parameters.items():
        check = _CHECKS.get(name)
        if check is not None and value is not None:
            check(name, value)


def _numbers(lowest: float, highest: float) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise InvalidRequest(f"{name} must be a number from {lowest:g} to {highest:g}.", param=name)

    return check


def _integers(lowest: int, highest: int, said: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise InvalidRequest(f"{name} must be {said}.", param=name)

    return check


def _type(kind: type, said: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise InvalidRequest(f"{name} must be {said}.", param=name)

    return check


def _stop(name: str, value: Any) -> None:
    stops = value if isinstance(value, list) else [value]
    if not all(isinstance(stop, str) for stop in stops):
        raise InvalidRequest(f"{name} must be text or a list of texts.", param=name)


def _response_format(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise InvalidRequest(f"{name} must be an object with a type.", param=name)
    if value["type"] != "json_schema":
        return
    described = value.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema", {}), dict):
        raise InvalidRequest(f"{name}.json_schema must be an object with a schema.", param=f"{name}.json_schema")


def _tools(name: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise InvalidRequest(f"{name} must be a list of at most {MAX_TOOLS} tools.", param=name)
    for position, tool in enumerate(value):
        path = f"{name}.{position}"
        if not isinstance(tool, dict):
            raise InvalidRequest(f"{path} must be an object.", param=path)
        if tool.get("type") != "function":
            raise InvalidRequest(f"{path}.type must be `function`.", param=f"{path}.type")
        _check_function(tool.get("function"), f"{path}.function")


def _functions(name: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise InvalidRequest(f"{name} must be a list of at most {MAX_TOOLS} functions.", param=name)
    for position, function in enumerate(value):
        _check_function(function, f"{name}.{position}")


def _check_function(function: Any, path: str) -> None:
    if not isinstance(function, dict):
        raise InvalidRequest(f"{path} must be an object with a name.", param=path)
    _check_name(function, path)
    if not isinstance(function.get("description", ""), str | None):
        raise InvalidRequest(f"{path}.description must be text.", param=f"{path}.description")
    schema = function.get("parameters")
    if schema is None:
        return
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        raise InvalidRequest(f"{path}.parameters must be a JSON schema of an object.", param=f"{path}.parameters")


def _check_name(function: dict[str, Any], path: str) -> None:
    name = function.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_TOOL_NAME:
        raise InvalidRequest(f"{path}.name must be 1 to {MAX_TOOL_NAME} characters.", param=f"{path}.name")


def _tool_choice(name: str, value: Any) -> None:
    if isinstance(value, str) and value in CHOICES:
        return
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be one of {', '.join(CHOICES)}, or name a function.", param=name)
    if value.get("type") != "function":
        raise InvalidRequest(f"{name}.type must be `function`.", param=f"{name}.type")
    path = f"{name}.function"
    if not isinstance(value.get("function"), dict):
        raise InvalidRequest(f"{path} must be an object with a name.", param=path)
    _check_name(value["function"], path)


def _function_call(name: str, value: Any) -> None:
    if isinstance(value, str) and value in ("none", "auto"):
        return
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be none, auto, or name a function.", param=name)
    _check_name(value, name)


_POSITIVE = _integers(1, 2**31 - 1, "a positive integer")
_FLAG = _type(bool, "true or false")
_TEXT = _type(str, "text")

_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "max_tokens": _POSITIVE,
    "max_completion_tokens": _POSITIVE,
    "temperature": _numbers(0, 2),
    "top_p": _numbers(0, 1),
    "min_p": _numbers(0, 1),
    "top_k": _integers(-1, 2**31 - 1, "an integer from -1"),
    "frequency_penalty": _numbers(-2, 2),
    "presence_penalty": _numbers(-2, 2),
    "seed": _integers(-(2**63), 2**63 - 1, "an integer of 64 bits"),
    "stop": _stop,
    "logprobs": _FLAG,
    "top_logprobs": _integers(0, 20, "an integer from 0 to 20"),
    "logit_bias": _type(dict, "an object"),
    "user": _TEXT,
    "reasoning_effort": _TEXT,
    "verbosity": _TEXT,
    "parallel_tool_calls": _FLAG,
    "response_format": _response_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "functions": _functions,
    "function_call": _function_call,
}
