"""Chooses an agent and a model tier for a request: filter, score, pick. Pure, and runs in the caller's process.

    index = FleetIndex.of(snapshot)            # once a snapshot
    decision = route(index, target=..., features=..., inflight=..., tenant=..., rng=..., conditions=...)
    decision.record()                          # for the journal: scores, and what was filtered and why

Scores of agents lie in [0, 1]:

    fit      = likelihood that the agent is meant, among those that may do it, as a `Scorer` estimates it;
               by rules s / (s + 2), s = sum of the idf of the words it shares with the manifest
    headroom = (1 - turns in flight / slots) * pace; 1 for an idle agent
    score    = fit_weight * fit + load_weight * headroom + affinity of the agent that had the conversation before

Among the agents within 0.05 of the best score, the one with most headroom is taken, and a random one of equals. Then
the tier: tiers that cannot or may not take the request are filtered, and the policy weighs expected quality and cost.
"""

from ossa.routing.breaker import Breakers
from ossa.routing.index import FleetIndex, RequestFeatures, conversation_of
from ossa.routing.route import (
    Conditions,
    Decision,
    Scorer,
    TierChoice,
    agent_subject,
    choose_tier,
    own_tier,
    route,
    tier_subject,
)

__all__ = [
    "Breakers",
    "Conditions",
    "Decision",
    "FleetIndex",
    "RequestFeatures",
    "Scorer",
    "TierChoice",
    "agent_subject",
    "choose_tier",
    "conversation_of",
    "own_tier",
    "route",
    "tier_subject",
]
