"""`ossa.connect` and `ossa.connect_async`."""

from __future__ import annotations

import httpx

from ossa.sdk.async_client import AsyncClient
from ossa.sdk.client import Client
from ossa.sdk.connection import resolve

TIMEOUT_S = 330.0
"""Somewhat longer than the fleet's own default for a request, so that its answer wins."""


def connect(
    url: str | None = None,
    api_key: str | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    max_retries: int = 2,
    transport: httpx.BaseTransport | None = None,
) -> Client:
    """Returns a blocking client; it sends nothing yet.

    Without `url` and `api_key` it looks at OSSA_URL and OSSA_API_KEY, then at what a local `ossa up` left behind.
    `transport` replaces the network (`httpx.MockTransport` in tests). Raises `Unreachable` when no fleet is known.
    """
    return Client(resolve(url, api_key), timeout_s=timeout_s, max_retries=max_retries, transport=transport)


def connect_async(
    url: str | None = None,
    api_key: str | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
    max_retries: int = 2,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncClient:
    """`connect` for asyncio. Not a coroutine itself: `async with ossa.connect_async() as client`."""
    return AsyncClient(resolve(url, api_key), timeout_s=timeout_s, max_retries=max_retries, transport=transport)
