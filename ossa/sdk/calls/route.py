"""Where requests would go, and where a task went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.chat import Prompt, messages_of
from ossa.sdk.calls.tasks import task_path
from ossa.sdk.errors import error_of_body
from ossa.sdk.values.route import Route, Routes


def route(
    prompt: Prompt, *, model: str, metadata: Mapping[str, Any] | None, parameters: Mapping[str, Any]
) -> Call[Route]:
    """Raises what the fleet would answer instead of a turn."""
    return Call(_request(_order(prompt, model, metadata, parameters)), lambda response: _routes(response)[0])


def route_all(prompts: Sequence[Prompt], *, model: str, metadata: Mapping[str, Any] | None) -> Call[Routes]:
    return Call(_request({"requests": [_order(prompt, model, metadata, {}) for prompt in prompts]}), _routes)


def of_task(task_id: str) -> Call[Routes]:
    return Call(
        Request("GET", task_path(task_id, "route")),
        lambda response: Routes(Route.model_validate(one) for one in response.json()["data"]),
    )


def _request(body: dict[str, Any]) -> Request:
    return Request("POST", "/api/v1/route", json=body, repeatable=True)


def _order(
    prompt: Prompt, model: str, metadata: Mapping[str, Any] | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    order: dict[str, Any] = {"model": model, "messages": messages_of(prompt)}
    if metadata:
        order["metadata"] = dict(metadata)
    if parameters:
        order["parameters"] = dict(parameters)
    return order


def _routes(response: httpx.Response) -> Routes:
    found = response.json()["data"]
    for one in found:
        if one.get("error"):
            raise error_of_body(one["error"], retry_after_s=one["error"].get("retry_after_s"))
    return Routes(Route.model_validate(one["route"]) for one in found)
