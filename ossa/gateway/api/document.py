"""Describes routes (`describe`), and completes FastAPI's OpenAPI document with what is read and answered by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.gateway.api.responses import PROBLEM_MEDIA_TYPE, OpenAIError, Problem
from ossa.gateway.api.schemas import REQUEST_MODELS, TaskEvent

COMMON_ERRORS = (422, 500, 503)
CALLER_ERRORS = (401, 403)
BODY_ERRORS = (400, 413)
REASONS = {
    400: "The body is not JSON",
    401: "No key, or one that is not valid",
    403: "The key lacks the scope",
    404: "Absent, or another tenant's",
    409: "Conflict",
    413: "The body is too long",
    422: "A field is wrong; it is named",
    429: "The fleet or a queue is full, or a limit is reached; see Retry-After",
    499: "Cancelled",
    500: "Something went wrong here",
    502: "The model's endpoint or a tool failed",
    503: "Starting, stopping, or a store is away; see Retry-After",
    504: "The task did not end in time",
}

_TEXT = {"schema": {"type": "string"}}
EVENTS = {
    "text/event-stream": {
        "schema": {
            "description": "one server-sent event",
            "type": "object",
            "required": ["data"],
            "properties": {
                "id": {"type": "string"},
                "event": {"type": "string"},
                "data": {"type": "string", "description": "JSON, or `[DONE]`"},
            },
        }
    }
}
_REQUEST_ID = {"x-request-id": {"description": "the request's id, in every log line about it", **_TEXT}}
_RETRY_AFTER = {"retry-after": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
_WWW_AUTHENTICATE = {"www-authenticate": _TEXT}
_LOCATION = {"location": {"description": "where to follow it", **_TEXT}}
_CHAT = {
    "x-ossa-task-id": {"description": "the task's id", **_TEXT},
    "x-ossa-agent": {"description": "the agent that answered", **_TEXT},
    "x-ossa-pool": {"description": "its pool", **_TEXT},
    "x-ossa-model": {"description": "the model that answered; not in a stream's headers", **_TEXT},
    "x-ossa-cost-usd": {"description": "what it cost; not in a stream's headers", **_TEXT},
    "x-ossa-cache": {"description": "`exact` or `semantic`: the answer was given before", **_TEXT},
    "x-ossa-cache-age": {"description": "seconds since it was given", **_TEXT},
    "x-ossa-cache-similarity": {"description": "cosine of both questions", **_TEXT},
    "x-ossa-budget": {"description": "budgets above their soft limit, as shares of the hard one", **_TEXT},
    "x-ossa-tokens-saved": {"description": "prompt tokens that were not sent; not in a stream's headers", **_TEXT},
}
_HEADERS: dict[str, dict[str, Any]] = {"": {}, "chat": _CHAT, "location": _LOCATION}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gives the same task; with another body 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_CACHE = {
    "name": "x-ossa-cache",
    "in": "header",
    "required": False,
    "description": "Where earlier answers are served: `off` for none, `refresh` for a new one that is kept.",
    "schema": {"type": "string", "enum": ["off", "refresh"]},
}
_VORTEX = {
    "name": "x-ossa-vortex",
    "in": "header",
    "required": False,
    "description": "Whether contents may go to the model in a shorter form; without it the manifest and settings say.",
    "schema": {"type": "string", "enum": ["on", "off"]},
}
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]


def describe(
    summary: str,
    description: str = "",
    *,
    scope: Scope | None,
    answer: type[BaseModel] | None = None,
    status: int = 200,
    body: str | None = None,
    errors: tuple[int, ...] = (),
    idempotent: bool = False,
    headers: Literal["", "chat", "location"] = "",
    content: dict[str, Any] | None = None,
    also_streams: bool = False,
) -> dict[str, Any]:
    """The keyword arguments of a route.

    Args:
        scope: what the key must allow; None: open to everybody.
        body: name of the request model; it is read by hand, whatever the Content-Type.
        content: the answer's content where it is not JSON.
    """
    extra: dict[str, Any] = {"security": _SECURITY if scope is not None else []}
    if scope is not None:
        description = f"{description}\n\nScope: `{scope}`.".strip()
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body}"}
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if idempotent:
        extra["parameters"] = [_IDEMPOTENCY_KEY, _VORTEX, _CACHE]
    return {
        "summary": summary,
        "description": description,
        "status_code": status,
        "response_model": None,
        "response_class": Response,
        "responses": {
            status: _success(answer, content, headers, also_streams),
            **_failures(scope, body, errors, headers),
        },
        "openapi_extra": extra,
    }


def _success(
    answer: type[BaseModel] | None, content: dict[str, Any] | None, headers: str, also_streams: bool
) -> dict[str, Any]:
    said: dict[str, Any] = {"description": "Done", "headers": {**_REQUEST_ID, **_HEADERS[headers]}}
    if answer is not None:
        said["model"] = answer
    if content is not None:
        said["content"] = content
    if also_streams:
        said["content"] = EVENTS
    return said


def _failures(
    scope: Scope | None, body: str | None, errors: tuple[int, ...], headers: str
) -> dict[int | str, dict[str, Any]]:
    statuses = {*COMMON_ERRORS, *errors}
    statuses |= set(CALLER_ERRORS) if scope is not None else set()
    statuses |= set(BODY_ERRORS) if body is not None else set()
    return {
        status: {
            "model": Problem,
            "description": REASONS[status],
            "headers": {
                **_REQUEST_ID,
                **(_RETRY_AFTER if status in (429, 503) else {}),
                **(_WWW_AUTHENTICATE if status == 401 else {}),
                **(_HEADERS[headers] if headers == "chat" and status >= 404 else {}),
            },
        }
        for status in sorted(statuses)
    }


REF = "#/components/schemas/{model}"
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer ossa_sk_…`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
DESCRIPTION = """
Ask a fleet of OSSA agents, and run it.

`/v1` is OpenAI's API: any OpenAI client works with this base URL and a key of yours. `/api/v1` is the fleet's own.
Errors are in OpenAI's form under `/v1` and RFC 9457 problem details elsewhere. Every answer carries `x-request-id`.
"""


def install(app: FastAPI, schemas: Sequence[type[BaseModel]]) -> None:
    """Make `app.openapi` give the completed document, computed once. `schemas`: models of extensions' routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, schemas)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, schemas: Sequence[type[BaseModel]]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    models: list[type[BaseModel]] = [
        *REQUEST_MODELS.values(),
        *schemas,
        OpenAIError,
        TaskEvent,
    ]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    components = document.setdefault("components", {})
    described = components.setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        described.setdefault(name, schema)
    components["securitySchemes"] = SECURITY_SCHEMES
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _rename_errors(operation, openai=path.startswith("/v1/"))
    return document


def _rename_errors(operation: dict[str, Any], *, openai: bool) -> None:
    """FastAPI knows one media type a route; errors have their own."""
    responses = operation["responses"]
    if openai and "422" in responses:
        responses.setdefault("400", responses["422"])
        del responses["422"]
    for status, response in responses.items():
        if int(status) < 400 or "application/problem+json" in response.get("content", {}):
            continue
        if openai:
            schema = {"$ref": "#/components/schemas/OpenAIError"}
            response["content"] = {"application/json": {"schema": schema}}
        elif "application/json" in response.get("content", {}) and _is_problem(response):
            response["content"] = {PROBLEM_MEDIA_TYPE: response["content"]["application/json"]}


def _is_problem(response: dict[str, Any]) -> bool:
    schema = response["content"]["application/json"].get("schema", {})
    return bool(schema.get("$ref", "").endswith("/Problem"))
