"""What a decision is made under, besides the request and the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import RoutingPolicy, TierInfo
from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex


def tier_subject(tier: Tier) -> str:
    """A tier's endpoint, among breakers."""
    return f"tier:{tier}"


def agent_subject(owner: str | None, manifest: str) -> str:
    """A manifest, among breakers; `owner` is the tenant whose own agents they are."""
    return f"agent:{owner or ''}/{manifest}"


class Scorer(Protocol):
    """What learned. Pure, bounded in time; `name` tells which models, by digest."""

    @property
    def name(self) -> str: ...

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """How likely each group of the index is the one meant; None where it cannot say, and rules do."""

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """Expected share of right answers of each tier; None where it cannot say."""


@dataclass(frozen=True)
class Conditions:
    """
    Attributes:
        scorer: None: rules decide.
        tiers: the endpoints there are; empty: each agent uses its own.
        open_breakers: what is not to be asked now, as `agent_subject` and `tier_subject` name it.
        pace: of agents that answer slower than others of their manifest, by id: a share below 1.
        partner: the agent that had this conversation before.
        budget_left_usd: what one more task of an agent may cost; it says None where there is no limit.
    """

    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    scorer: Scorer | None = None
    tiers: Mapping[Tier, TierInfo] = field(default_factory=dict)
    open_breakers: frozenset[str] = frozenset()
    pace: Mapping[str, float] = field(default_factory=dict)
    partner: str = ""
    budget_left_usd: Callable[[AgentInfo], float | None] = lambda _: None
