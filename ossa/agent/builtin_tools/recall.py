"""What was remembered in earlier conversations."""

from __future__ import annotations

from typing import Any

from ossa.agent.tools import ToolContext, tool
from ossa.contracts.turn import TurnCall

MOST = 20


@tool(effects="none")
async def recall(context: ToolContext, text: str = "", about: str = "", limit: int = 5) -> list[dict[str, Any]]:
    """What was remembered: nearest in meaning to `text`, else the newest. `about`: of that person alone."""
    if context.ask is None:
        raise ValueError("this agent has no memory")
    query: dict[str, Any] = {"text": text, "limit": max(1, min(limit, MOST))}
    if about:
        query["subject"] = about
    answer = await context.ask(TurnCall(recall=query))
    return list(answer.memories)
