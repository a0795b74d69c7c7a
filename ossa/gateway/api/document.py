"""The OpenAPI document: FastAPI's, completed with what is read and answered by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ossa.gateway.api.responses import PROBLEM_MEDIA_TYPE, OpenAIError
from ossa.gateway.api.schemas import REQUEST_MODELS, TaskEvent

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
