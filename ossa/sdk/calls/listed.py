"""Lists in answers."""

from __future__ import annotations

from typing import Any

import httpx


def items(response: httpx.Response, name: str) -> list[dict[str, Any]]:
    """The list under `name`, `items` or `data`, or the answer itself when it is a list."""
    body = response.json()
    if isinstance(body, list):
        return body
    for key in (name, "items", "data"):
        if isinstance(body.get(key), list):
            found: list[dict[str, Any]] = body[key]
            return found
    raise KeyError(name)
