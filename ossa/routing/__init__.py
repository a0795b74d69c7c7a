"""Which agent does a request: filter -> score -> pick, pure, in the caller's process.

    index = FleetIndex.of(snapshot)            # once a snapshot
    decision = route(index, target=..., features=..., inflight=..., tenant=..., rng=...)

Scores lie in [0, 1]:

    fit   = s / (s + 2),  s = sum of the idf of the request's words that an agent's manifest has
    room  = 1 - turns in flight / slots
    score = 0.7 * fit + 0.3 * room

Of the agents within 0.05 of the best, two are drawn at random and the less loaded one is taken.
"""

from ossa.routing.decision import Decision
from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex
from ossa.routing.route import route

__all__ = ["Decision", "FleetIndex", "RequestFeatures", "route"]
