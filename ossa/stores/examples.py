"""A finished task as an `Example`: what the stores share of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast, get_args

import orjson

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import MAX_EXAMPLE_CHARACTERS, Example, Feedback, Route
from ossa.contracts.task import Outcome, TaskStatus

_TIERS = frozenset(get_args(Tier))


def example_of(
    *,
    task_id: str,
    tenant: str,
    request: bytes | str,
    outcome: Outcome,
    route: Route | None,
    feedback: Feedback | None,
    tool_errors: int,
    created_at: datetime,
    finished_at: datetime,
) -> Example | None:
    """None when the task says nothing of a decision: it was cancelled, or no agent was asked.

    Args:
        request: the task's `TaskRequest` as JSON.
    """
    if outcome.status is TaskStatus.CANCELLED or outcome.earlier is not None:
        return None
    asked = orjson.loads(request)
    return Example(
        task_id=task_id,
        tenant=tenant,
        text=_last_user_text(asked["messages"])[:MAX_EXAMPLE_CHARACTERS],
        target=_target(asked.get("target") or {}),
        manifest=route.manifest if route else "",
        pool=outcome.pool or (route.pool if route else ""),
        tier=_tier(outcome.tier) or (route.tier if route else None),
        succeeded=outcome.status is TaskStatus.SUCCEEDED,
        explored=route.explored if route else False,
        tool_errors=tool_errors,
        prompt_tokens=outcome.usage.prompt_tokens,
        completion_tokens=outcome.usage.completion_tokens,
        cost_usd=outcome.usage.cost_usd,
        seconds=max(0.0, (finished_at - created_at).total_seconds()),
        rating=feedback.rating if feedback else None,
        expected=feedback.expected if feedback else "",
        at=finished_at,
    )


def _tier(name: str | None) -> Tier | None:
    return cast(Tier, name) if name in _TIERS else None


def _target(target: dict[str, Any]) -> str:
    kind = str(target.get("kind", "auto"))
    return kind if kind == "auto" else f"{kind}/{target.get('name', '')}"


def _last_user_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""
