"""A document for an agent that was made in code."""

from __future__ import annotations

from typing import Any

from ossa.contracts.agent_spec import AgentSpec, Limits

DIALECT = "ossa/v0.5.0"

_LIMITS: dict[str, tuple[str, ...]] = {
    "max_tokens_per_request": ("cost", "maxTokensPerRequest"),
    "max_tokens_per_day": ("cost", "maxTokensPerDay"),
    "max_cost_per_day_usd": ("cost", "maxCostPerDay"),
    "timeout_s": ("performance", "timeoutSeconds"),
    "max_concurrent_requests": ("performance", "maxConcurrentRequests"),
    "max_steps": ("max_steps",),
}


def compose(spec: AgentSpec) -> dict[str, Any]:
    """What reads back as `spec`, apart from `dialect`, `document`, `source` and `digest`; empty fields are left out."""
    labels = {**spec.labels, **({"pool": spec.pool} if spec.pool else {})}
    metadata = {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "labels": labels,
        "annotations": dict(spec.annotations),
    }
    model = spec.model.model_dump(exclude_none=True)
    if "max_tokens" in model:
        model["maxTokens"] = model.pop("max_tokens")
    if "top_p" in model:
        model["topP"] = model.pop("top_p")
    agent = {
        "role": spec.role,
        "llm": model,
        "tools": [{**tool.config, "name": tool.name, "description": tool.description} for tool in spec.tools],
        "capabilities": list(spec.capabilities),
        "autonomy": {"level": spec.autonomy} if spec.autonomy != "unspecified" else None,
        "constraints": _constraints(spec.limits),
    }
    return {"apiVersion": DIALECT, "kind": "Agent", "metadata": _filled(metadata), "spec": _filled(agent)}


def _constraints(limits: Limits) -> dict[str, Any]:
    constraints: dict[str, Any] = {}
    for name, path in _LIMITS.items():
        value = getattr(limits, name)
        if value is not None:
            spot = constraints
            for key in path[:-1]:
                spot = spot.setdefault(key, {})
            spot[path[-1]] = value
    return constraints


def _filled(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value not in (None, "", [], {})}
