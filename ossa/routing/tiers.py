"""Chooses a model tier: filter, expected quality and cost, pick."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import TierInfo, TierScore
from ossa.routing.decision import Conditions, TierChoice, tier_subject
from ossa.routing.features import RequestFeatures

LONGEST_CASCADE = 3


def own_tier(agent: AgentInfo, tiers: Mapping[Tier, TierInfo]) -> Tier:
    """Returns the tier of the model that the manifest names, else the manifest's tier, else `standard`."""
    if agent.model:
        for tier, info in tiers.items():
            if info.model == agent.model:
                return tier
    preferred: tuple[Tier, ...] = (agent.tier, "standard")  # type: ignore[assignment]
    return next((tier for tier in preferred if tier in tiers), next(iter(tiers)))


def choose_tier(agent: AgentInfo, features: RequestFeatures, conditions: Conditions, rng: random.Random) -> TierChoice:
    """Returns the tier for this agent's turn. If every tier is filtered, the agent's own stays."""
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
    quality: Mapping[Tier, float] = {}
    if (not pinned or policy.cascade or policy.explore) and conditions.scorer is not None:
        quality = conditions.scorer.qualities(features) or {}
    estimated = [tier for tier in allowed if tier in quality]
    if not estimated or (own in allowed and own not in estimated):
        # Nobody can tell what another tier would lose against the manifest's own.
        kept = own if own in allowed else min(allowed, key=cost.__getitem__)
        return TierChoice(tier=kept, filtered=filtered)
    scores = tuple(
        TierScore(tier=tier, model=info.model, quality=quality.get(tier, 0.0), cost_usd=cost[tier])
        for tier, info in tiers.items()
    )
    tier = own if pinned and own in estimated else _picked(estimated, quality, cost, conditions)
    if policy.explore and len(estimated) > 1 and rng.random() < policy.explore:
        others = [other for other in estimated if other != tier]
        return TierChoice(tier=rng.choice(others), explored=True, scores=scores, filtered=filtered)
    cascade = _cascade(tier, estimated, quality, cost) if policy.cascade else ()
    return TierChoice(tier=tier, cascade=cascade, scores=scores, filtered=filtered)


def _filtered(
    agent: AgentInfo, features: RequestFeatures, conditions: Conditions, cost: Mapping[Tier, float], own: Tier
) -> dict[str, str]:
    reasons: dict[str, str] = {}
    needed = features.prompt_tokens + features.completion_tokens
    left = conditions.budget_left_usd(agent)
    for tier, info in conditions.tiers.items():
        if info.context_tokens is not None and needed > info.context_tokens:
            reasons[tier] = f"context of {info.context_tokens} tokens is less than about {needed}"
        elif tier_subject(tier) in conditions.open_breakers:
            reasons[tier] = "its endpoint keeps failing"
        elif left is not None and cost[tier] > left:
            reasons[tier] = f"about {cost[tier]:.6f} USD is more than the budget has left"
        elif cost[tier] > cost[own] and not conditions.policy.dearer:
            reasons[tier] = f"dearer than the manifest's {own}"
    return reasons


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
    """Puts cheaper tiers first if that is expected to pay: cost(cheap) < P(cheap is right) * cost(dear).

    P is the ratio of the two qualities: the share of what the dear tier can answer that the cheap one can.
    """
    chain = [last]
    for tier in sorted((tier for tier in allowed if cost[tier] < cost[last]), key=lambda tier: -cost[tier]):
        dear = chain[0]
        if cost[tier] < min(1.0, quality[tier] / max(quality[dear], 1e-9)) * cost[dear]:
            chain.insert(0, tier)
    return tuple(chain[-LONGEST_CASCADE:]) if len(chain) > 1 else ()
