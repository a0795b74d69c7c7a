"""Whose usage of the day a task counts to."""

from __future__ import annotations

from ossa.contracts.fleet import AgentInfo


def usage_subjects(tenant: str, agent: AgentInfo | None) -> list[str]:
    """The tenant, and the manifest of the agent that did the task, as the journal names them."""
    return [f"tenant:{tenant}"] if agent is None else [f"tenant:{tenant}", manifest_subject(agent)]


def manifest_subject(agent: AgentInfo) -> str:
    return f"manifest:{agent.manifest}"
