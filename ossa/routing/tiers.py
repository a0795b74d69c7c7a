"""Which model tier answers: filter -> expected quality and cost -> pick."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import TierInfo, TierScore
from ossa.routing.conditions import Conditions, tier_subject
from ossa.routing.features import RequestFeatures

LONGEST_CASCADE = 3


@dataclass(frozen=True)
class TierChoice:
    """`tier` None: there is nothing to choose from, the agent knows its own."""

    tier: Tier | None = None
    cascade: tuple[Tier, ...] = ()
    explored: bool = False
    scores: tuple[TierScore, ...] = ()
    filtered: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """Of what is asked: a tier, several of a cascade, or nothing."""
        return "+".join(self.cascade) or self.tier or ""


def own_tier(agent: AgentInfo, tiers: Mapping[Tier, TierInfo]) -> Tier:
    """The tier the agent would use: that of the model its manifest names, else the manifest's, else `standard`."""
    if agent.model:
        for tier, info in tiers.items():
            if info.model == agent.model:
                return tier
    wanted: tuple[Tier, ...] = (agent.tier, "standard")  # type: ignore[assignment]
    return next((tier for tier in wanted if tier in tiers), next(iter(tiers)))


def choose_tier(agent: AgentInfo, features: RequestFeatures, conditions: Conditions, rng: random.Random) -> TierChoice:
    """The tier for this agent's turn. Never empty-handed: where all are filtered out the agent's own stays."""
    tiers, policy = conditions.tiers, conditions.policy
    if not tiers:
        return TierChoice()
    own = policy.tiers.get(agent.manifest) or own_tier(agent, tiers)
    own = own if own in tiers else own_tier(agent, tiers)
    if len(tiers) == 1:
        return TierChoice(tier=own)
    cost = {tier: info.cost_usd(features.prompt_tokens, features.completion_tokens) for tier, info in tiers.items()}
    filtered = _filtered(agent, features, conditions, cost, own)
    allowed = [tier for tier in tiers if tier not in filtered] or [own]
    pinned = policy.models == "manifest" or agent.manifest in policy.tiers
    if pinned and not policy.cascade and not policy.explore:
        kept = own if own in allowed else min(allowed, key=cost.__getitem__)
        return TierChoice(tier=kept, filtered=filtered)
    quality = conditions.scorer.qualities(features) if conditions.scorer is not None else None
    known = [tier for tier in allowed if quality is not None and tier in quality]
    if quality is None or not known or (own in allowed and own not in known):
        # Nobody knows what would be lost against the manifest's own.
        kept = own if own in allowed else min(allowed, key=cost.__getitem__)
        return TierChoice(tier=kept, filtered=filtered)
    allowed = known
    scores = tuple(
        TierScore(tier=one, model=tiers[one].model, quality=quality.get(one, 0.0), cost_usd=cost[one]) for one in tiers
    )
    tier = own if pinned and own in allowed else _picked(allowed, quality, cost, conditions)
    if policy.explore and len(allowed) > 1 and rng.random() < policy.explore:
        others = [other for other in allowed if other != tier]
        return TierChoice(tier=rng.choice(others), explored=True, scores=scores, filtered=filtered)
    cascade = _cascade(tier, allowed, quality, cost) if policy.cascade else ()
    return TierChoice(tier=tier, cascade=cascade, scores=scores, filtered=filtered)


def _filtered(
    agent: AgentInfo, features: RequestFeatures, conditions: Conditions, cost: Mapping[Tier, float], own: Tier
) -> dict[str, str]:
    found: dict[str, str] = {}
    needed = features.prompt_tokens + features.completion_tokens
    left = conditions.budget_left_usd(agent)
    for tier, info in conditions.tiers.items():
        if info.context_tokens is not None and needed > info.context_tokens:
            found[tier] = f"context of {info.context_tokens} tokens is less than about {needed}"
        elif tier_subject(tier) in conditions.open_breakers:
            found[tier] = "its endpoint keeps failing"
        elif left is not None and cost[tier] > left:
            found[tier] = f"about {cost[tier]:.6f} USD is more than the budget has left"
        elif cost[tier] > cost[own] and not conditions.policy.dearer:
            found[tier] = f"dearer than the manifest's {own}"
    return found


def _picked(
    allowed: list[Tier], quality: Mapping[Tier, float], cost: Mapping[Tier, float], conditions: Conditions
) -> Tier:
    best = max(quality[tier] for tier in allowed)
    if conditions.policy.models == "best":
        return min((tier for tier in allowed if quality[tier] == best), key=cost.__getitem__)
    good = [tier for tier in allowed if quality[tier] >= conditions.policy.quality_floor * best]
    return min(good, key=lambda tier: (cost[tier], -quality[tier]))


def _cascade(
    last: Tier, allowed: list[Tier], quality: Mapping[Tier, float], cost: Mapping[Tier, float]
) -> tuple[Tier, ...]:
    """Cheaper tiers first where that is expected to pay: cost(cheap) < P(cheap is right) * cost(dear).

    P is the ratio of both qualities: of what the dear one can answer, the share that the cheap one can.
    """
    chain = [last]
    for tier in sorted((one for one in allowed if cost[one] < cost[last]), key=lambda one: -cost[one]):
        dear = chain[0]
        if cost[tier] < min(1.0, quality[tier] / max(quality[dear], 1e-9)) * cost[dear]:
            chain.insert(0, tier)
    return tuple(chain[-LONGEST_CASCADE:]) if len(chain) > 1 else ()
