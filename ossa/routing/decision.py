"""What a decision depends on besides the request and the fleet, and what it results in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import AgentScore, Route, RoutingPolicy, TierInfo, TierScore
from ossa.routing.features import RequestFeatures
from ossa.routing.index import AgentGroup, FleetIndex

RECORDED_CANDIDATES = 5
"""Candidates in a record; agents of one manifest count as one."""


def tier_subject(tier: Tier) -> str:
    """Names a tier's endpoint among breakers."""
    return f"tier:{tier}"


def agent_subject(owner: str | None, manifest: str) -> str:
    """Names a manifest among breakers; `owner` is the tenant whose own agents they are."""
    return f"agent:{owner or ''}/{manifest}"


class Scorer(Protocol):
    """Estimates of learned models. Pure and bounded in time; `name` lists the models by digest."""

    @property
    def name(self) -> str: ...

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """Returns for each group the likelihood that it is meant; None if the models cannot say, and rules decide."""

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """Returns the expected share of right answers by tier; None if the models cannot say."""


@dataclass(frozen=True)
class Conditions:
    """
    Attributes:
        scorer: None: rules decide.
        tiers: the endpoints there are; empty: each agent uses its own.
        open_breakers: subjects not to be asked now (`agent_subject`, `tier_subject`).
        pace: factor below 1 for agents that are slower than others of their manifest, by agent id.
        partner: the agent that had this conversation before.
        budget_left_usd: what one more task of an agent may cost; returns None without a limit.
        filters: further rules by name; a group of agents that one of them rejects is not asked.
    """

    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    scorer: Scorer | None = None
    tiers: Mapping[Tier, TierInfo] = field(default_factory=dict)
    open_breakers: frozenset[str] = frozenset()
    pace: Mapping[str, float] = field(default_factory=dict)
    partner: str = ""
    budget_left_usd: Callable[[AgentInfo], float | None] = lambda _: None
    filters: Mapping[str, Callable[[AgentGroup], bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class TierChoice:
    """`tier` is None if there is nothing to choose from; the agent then uses its own."""

    tier: Tier | None = None
    cascade: tuple[Tier, ...] = ()
    explored: bool = False
    scores: tuple[TierScore, ...] = ()
    filtered: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """The tier, or the tiers of the cascade joined by `+`; empty without either."""
        return "+".join(self.cascade) or self.tier or ""


class Candidate(NamedTuple):
    """All figures lie in [0, 1] except the score, which affinity may lift above. A tuple, because the hot loop makes
    many."""

    score: float
    fit: float
    headroom: float
    affinity: float
    agent: AgentInfo


@dataclass(frozen=True)
class Decision:
    """The chosen agent and the reasons. `filtered` counts the agents that each filter removed."""

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
        """Returns what the journal keeps."""
        return Route(
            agent_id=self.agent.agent_id,
            manifest=self.agent.manifest,
            pool=self.agent.pool,
            tier=self.tier.tier,
            cascade=self.tier.cascade,
            explored=self.tier.explored,
            agents=tuple(_score(candidate) for candidate in _best_by_manifest(self.candidates, self.agent)),
            tiers=self.tier.scores,
            filtered={name: count for name, count in self.filtered.items() if count},
            tiers_filtered=dict(self.tier.filtered or {}),
            reasons=self.reasons,
            router=self.router,
            policy=self.policy,
            microseconds=self.microseconds,
        )


def _best_by_manifest(candidates: tuple[Candidate, ...], chosen: AgentInfo) -> list[Candidate]:
    """Returns the chosen candidate first, then the best one of each other manifest."""
    best = {candidate.agent.manifest: candidate for candidate in sorted(candidates, key=lambda c: c.score)}
    first = [candidate for candidate in candidates if candidate.agent is chosen]
    others = [candidate for manifest, candidate in best.items() if manifest != chosen.manifest]
    return [*first, *sorted(others, key=lambda candidate: -candidate.score)][:RECORDED_CANDIDATES]


def _score(candidate: Candidate) -> AgentScore:
    return AgentScore(
        agent_id=candidate.agent.agent_id,
        manifest=candidate.agent.manifest,
        pool=candidate.agent.pool,
        fit=round(candidate.fit, 4),
        headroom=round(candidate.headroom, 4),
        affinity=round(candidate.affinity, 4),
        score=round(candidate.score, 4),
    )
