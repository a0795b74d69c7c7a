"""Chat messages and targets, checked by hand: the hot path has no time for a validator per message."""

from __future__ import annotations

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
