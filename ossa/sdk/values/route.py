"""Where a request goes, and why."""

from __future__ import annotations

from typing import ClassVar

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class AgentScore(Received):
    """A candidate; all in [0, 1]."""

    agent_id: str
    manifest: str
    pool: str
    fit: float
    load: float
    affinity: float = 0.0
    score: float


class AgentScores(Listing[AgentScore]):
    columns: ClassVar[tuple[str, ...]] = ("agent_id", "manifest", "pool", "fit", "load", "affinity", "score")


class TierScore(Received):
    """`quality`: expected share of right answers; `cost_usd` of one model call."""

    tier: str
    model: str
    quality: float
    cost_usd: float


class TierScores(Listing[TierScore]):
    columns: ClassVar[tuple[str, ...]] = ("tier", "model", "quality", "cost_usd")


class Route(Received):
    """A decision. `agents`: the one that was taken, then the best of other manifests; `router`: who scored."""

    agent_id: str
    manifest: str
    pool: str
    tier: str | None = None
    cascade: tuple[str, ...] = ()
    explored: bool = False
    agents: tuple[AgentScore, ...] = ()
    tiers: tuple[TierScore, ...] = ()
    filtered: dict[str, int] = {}
    tiers_filtered: dict[str, str] = {}
    reasons: tuple[str, ...] = ()
    router: str = "rules"
    policy: str = "manifest"
    microseconds: int = 0


class Routes(Listing[Route]):
    columns: ClassVar[tuple[str, ...]] = ("agent_id", "manifest", "pool", "tier", "router", "policy", "microseconds")
