"""Checks that `/health` reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel


class Check(BaseModel):
    """The result of one check; `detail` is a short text for people."""

    ok: bool
    detail: str = ""


HealthCheck = Callable[[], Awaitable[Check]]
"""Returns within two seconds, and does not raise."""
