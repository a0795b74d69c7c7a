"""What routing answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import AgentScore, Route
from ossa.routing.tiers import TierChoice

TOLD = 5
"""Candidates that a record names; of equal agents one."""


class Candidate(NamedTuple):
    """All in [0, 1] but the score, which affinity may lift above. A tuple, because the hot loop makes many."""

    score: float
    fit: float
    headroom: float
    affinity: float
    agent: AgentInfo


@dataclass(frozen=True)
class Decision:
    """The agent to ask and why. `filtered` counts the agents each filter took out."""

    agent: AgentInfo
    score: float
    reasons: tuple[str, ...] = ()
    filtered: dict[str, int] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    tier: TierChoice = field(default_factory=TierChoice)
    router: str = "rules"
    policy: str = "manifest"
    microseconds: int = 0

    def record(self) -> Route:
        """For the journal."""
        agent, tier = self.agent, self.tier
        return Route(
            agent_id=agent.agent_id,
            manifest=agent.manifest,
            pool=agent.pool,
            tier=tier.tier,
            cascade=tier.cascade,
            explored=tier.explored,
            agents=tuple(_told(one) for one in _best(self.candidates, agent)),
            tiers=tier.scores,
            filtered={name: count for name, count in self.filtered.items() if count},
            tiers_filtered=dict(tier.filtered or {}),
            reasons=self.reasons,
            router=self.router,
            policy=self.policy,
            microseconds=self.microseconds,
        )


def _best(candidates: tuple[Candidate, ...], chosen: AgentInfo) -> list[Candidate]:
    """The chosen one first, then the best of each other manifest."""
    found = {one.agent.manifest: one for one in sorted(candidates, key=lambda one: one.score)}
    found.update({one.agent.manifest: one for one in candidates if one.agent is chosen})
    mine = found.pop(chosen.manifest, None)
    others = sorted(found.values(), key=lambda one: -one.score)
    return [*([mine] if mine is not None else []), *others][:TOLD]


def _told(one: Candidate) -> AgentScore:
    return AgentScore(
        agent_id=one.agent.agent_id,
        manifest=one.agent.manifest,
        pool=one.agent.pool,
        fit=round(one.fit, 4),
        headroom=round(one.headroom, 4),
        affinity=round(one.affinity, 4),
        score=round(one.score, 4),
    )
