"""What routing answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ossa.contracts.fleet import AgentInfo


@dataclass(frozen=True)
class Decision:
    """The agent to ask and why. `filtered` counts the agents each filter took out."""

    agent: AgentInfo
    score: float
    reasons: tuple[str, ...] = ()
    filtered: dict[str, int] = field(default_factory=dict)
