"""What a chat request asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.task import TaskRequest
from ossa.gateway.api.messages import read_messages, read_target
from ossa.gateway.api.parameters import check_parameters

OWN_FIELDS = frozenset({"model", "messages", "stream", "stream_options", "n", "metadata", "timeout_s", "store"})
"""Fields that are for us; all others are kept with the task, and the agent passes on those it knows."""


@dataclass(frozen=True)
class ChatOrder:
    """`model` is as the client wrote it."""

    model: str
    request: TaskRequest
    stream: bool
    include_usage: bool


def read_chat_order(
    body: dict[str, Any],
    settings: GatewaySettings,
    *,
    vortex: bool | None = None,
    cache: Literal["off", "refresh"] | None = None,
) -> ChatOrder:
    """Raises `InvalidRequest`, `NotFound`, each with `param`."""
    target = read_target(body.get("model"))
    messages = read_messages(body.get("messages"), at_most=settings.max_messages)
    if body.get("n") not in (None, 1):
        raise InvalidRequest("n must be 1: one request gives one answer.", param="n")
    stream = _flag(body, "stream")
    options = _object(body, "stream_options")
    if options and not stream:
        raise InvalidRequest("stream_options may only be given with stream.", param="stream_options")
    request = TaskRequest.model_construct(
        target=target,
        messages=messages,
        parameters=_parameters(body),
        metadata=_object(body, "metadata"),
        timeout_s=read_timeout(body.get("timeout_s")),
        vortex=vortex,
        cache=cache,
    )
    include_usage = _flag(options, "include_usage", path="stream_options.include_usage")
    return ChatOrder(model=body["model"], request=request, stream=stream, include_usage=include_usage)


def read_timeout(found: Any) -> float | None:
    """Seconds, up to a day."""
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= 86_400:
        raise InvalidRequest("timeout_s must be a number of seconds from 0 to 86400.", param="timeout_s")
    return float(found)


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    parameters = {name: value for name, value in body.items() if name not in OWN_FIELDS and value is not None}
    if parameters:
        check_parameters(parameters)
    return parameters


def _flag(body: dict[str, Any], name: str, *, path: str | None = None) -> bool:
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{path or name} must be true or false.", param=path or name)


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return value
