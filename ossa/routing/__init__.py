"""Which agent does a request, and with which model tier: filter -> score -> pick, pure, in the caller's process.

    index = FleetIndex.of(snapshot)            # once a snapshot
    decision = route(index, target=..., features=..., inflight=..., tenant=..., rng=..., conditions=...)
    decision.record()                          # what the journal keeps: scores, and what was filtered and why

Scores of agents lie in [0, 1]:

    fit      = how likely it is the one meant, of those that may do it, by what a `Scorer` learned;
               by rules s / (s + 2), s = sum of the idf of the words it shares with the manifest
    headroom = (1 - turns in flight / slots) * pace; 1 for an idle agent
    score    = fit_weight * fit + load_weight * headroom + affinity of the agent that had the conversation before

Of the agents within 0.05 of the best, two are drawn at random and the less loaded one is taken. Then the tier: those
that cannot or may not take the request are filtered out, and the policy weighs expected quality and cost (`tiers`).
"""

from ossa.routing.breaker import Breakers
from ossa.routing.conditions import Conditions, Scorer, agent_subject, tier_subject
from ossa.routing.decision import Decision
from ossa.routing.features import RequestFeatures, conversation_of
from ossa.routing.index import FleetIndex
from ossa.routing.route import route
from ossa.routing.tiers import TierChoice, choose_tier, own_tier

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
