"""Lists in answers."""

from __future__ import annotations

from typing import Any

import httpx


def items(response: httpx.Response) -> list[dict[str, Any]]:
    """Every list comes as `{"data": [...]}`."""
    found: list[dict[str, Any]] = response.json()["data"]
    return found
