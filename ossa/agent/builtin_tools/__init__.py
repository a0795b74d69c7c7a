"""The tools every fleet has: quick, without network or files of their own.

One file a tool, `NAME.py` with the tool `NAME` in it. An agent imports those its manifest names:
schemas cost milliseconds, and there are many agents.
"""

from __future__ import annotations

import importlib

from ossa.agent.tools import Tool

BUILTIN_TOOLS: tuple[str, ...] = ("calculator", "clock", "json_query", "recall", "remember", "text_stats")
"""All but `fleet_status`, which exists only where somebody hands in a way to read it."""


def builtin_tool(name: str) -> Tool:
    """Raises `ImportError` for a name that is not in `BUILTIN_TOOLS`."""
    found = getattr(importlib.import_module(f"{__name__}.{name}"), name)
    assert isinstance(found, Tool)
    return found
