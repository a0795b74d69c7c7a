"""The fleet in numbers, read through a callable that the process's owner hands in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ossa.agent.tools import Tool, tool


def fleet_status_tool(read: Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]) -> Tool:
    """The tool over this callable."""

    @tool(effects="none", timeout_s=10)
    async def fleet_status() -> Mapping[str, Any]:
        """The fleet's pools now: agents wanted, ready and starting in each."""
        found = read()
        return await found if inspect.isawaitable(found) else found

    return fleet_status
