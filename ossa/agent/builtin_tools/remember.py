"""Keeping something beyond the conversation."""

from __future__ import annotations

import hashlib
from typing import Any

from ossa.agent.tools import ToolContext, tool
from ossa.contracts.turn import TurnCall


@tool(effects="idempotent")
async def remember(content: str, context: ToolContext, about: str = "", kind: str = "fact") -> dict[str, Any]:
    """Remember a text for later conversations. `about`: the person it is about; `kind`: such as fact or preference."""
    if context.ask is None:
        raise ValueError("this agent has no memory")
    # The same call, run again after a crash, replaces what it remembered before.
    id = f"mem_{hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]}"
    answer = await context.ask(TurnCall(remember={"id": id, "content": content, "subject": about, "kind": kind}))
    return {"remembered": [memory["id"] for memory in answer.memories]}
