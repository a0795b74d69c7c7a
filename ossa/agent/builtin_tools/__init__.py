"""The tools every fleet has: harmless, quick, without network or files."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.agent.builtin_tools.calculator import calculator
from ossa.agent.builtin_tools.clock import clock
from ossa.agent.builtin_tools.fleet_status import ReadStatus, fleet_status_tool
from ossa.agent.builtin_tools.json_query import json_query
from ossa.agent.builtin_tools.text_stats import text_stats
from ossa.agent.tools import Tool


def builtin_tools(*, fleet_status: ReadStatus | None = None) -> Sequence[Tool]:
    """All of them; `fleet_status` only with a way to read it."""
    tools = [calculator, clock, json_query, text_stats]
    return [*tools, fleet_status_tool(fleet_status)] if fleet_status is not None else tools
