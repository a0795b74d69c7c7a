"""Health, version and models."""

from __future__ import annotations

import httpx

from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.values.health import Health, Version


def health() -> Call[Health]:
    """A fleet that is unwell answers 503 with the same body; that is an answer."""
    return Call(Request("GET", "/health"), _health, also_ok=(503,))


def _health(response: httpx.Response) -> Health:
    body = response.json()
    return Health.model_validate({**body, "ok": response.is_success})


def version() -> Call[Version]:
    return Call(Request("GET", "/version"), lambda response: Version.model_validate(response.json()))


def models() -> Call[tuple[str, ...]]:
    return Call(
        Request("GET", "/v1/models"),
        lambda response: tuple(str(item["id"]) for item in items(response)),
    )
