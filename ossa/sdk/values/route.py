"""Where a request goes, and why."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from ossa.sdk.values.listing import Listing
from ossa.sdk.values.received import Received


class AgentScore(Received):
    """A candidate; figures lie in [0, 1].

    `headroom` is the share of its slots that is free (1.0: idle). `load` is its deprecated name: reading it warns, and
    the next version has it no more.
    """

    agent_id: str
    manifest: str
    pool: str
    fit: float
    headroom: float
    affinity: float = 0.0
    score: float

    load: float = Field(0.0, deprecated="AgentScore.load is now AgentScore.headroom.", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _fill_both_names(cls, data: Any) -> Any:
        """Gateways of the version before send `load` alone."""
        headroom = data.get("headroom", data.get("load")) if isinstance(data, dict) else None
        return data if headroom is None else {**data, "headroom": headroom, "load": headroom}


class AgentScores(Listing[AgentScore]):
    columns: ClassVar[tuple[str, ...]] = ("agent_id", "manifest", "pool", "fit", "headroom", "affinity", "score")


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
