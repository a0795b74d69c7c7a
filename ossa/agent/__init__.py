"""One turn of one agent: model, tools, limits. Plain Python, no Ray.

A tool module needs `tool`, `Tool` and `ToolContext`; a process that runs turns, `RunnerFactory` or `AgentTurn`.
"""

from __future__ import annotations

from ossa.agent.runner import RunnerFactory
from ossa.agent.tools import Tool, ToolContext, ToolRegistry, tool
from ossa.agent.turn import AgentTurn

__all__ = ["AgentTurn", "RunnerFactory", "Tool", "ToolContext", "ToolRegistry", "tool"]
