"""A request's parameters for the model: what every endpoint reads the same way is checked before a task is made of it.

Model servers answer a parameter of the wrong type with anything, from 400 to a broken connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ossa.contracts.errors import InvalidRequest

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
