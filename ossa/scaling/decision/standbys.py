"""Started agents without a manifest: as many as may be needed before a cold one could be up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ossa.contracts.scaling import SAMPLE_S, ScaleRules, StartUp
from ossa.scaling.decision.proposal import Proposal


def standbys(proposals: Sequence[Proposal], nodes: int | None, rules: ScaleRules, start_up: StartUp) -> int:
    """Standbys of the fleet: what the upper band passes the agents by within the start-up time, summed over pools.

    The start-up time is a cold agent's; a cold node's where what is up has no room left for the growth. At least
    `rules.standby`, at most what agents leave below the fleet's ceiling.
    """
    agents = sum(one.forecast for one in proposals)
    lead = start_up.agent_s + SAMPLE_S
    growth = _growth(proposals, lead, rules)
    if nodes is not None and agents + growth > nodes * start_up.agents_per_node:
        growth = max(growth, _growth(proposals, lead + start_up.node_s, rules))
    return max(0, min(max(rules.standby, growth), rules.fleet_ceiling - agents))


def nodes_hint(proposals: Sequence[Proposal], standby: int, rules: ScaleRules, start_up: StartUp) -> int:
    """Nodes for what is decided, and for what is expected before a node asked for later would be up."""
    lead = start_up.node_s + start_up.agent_s + rules.cooldown_s
    agents = sum(max(one.forecast, math.ceil(_turns(one, lead, rules.agents_quantile))) for one in proposals)
    return math.ceil(min(agents + standby, rules.fleet_ceiling) / start_up.agents_per_node)


def _growth(proposals: Sequence[Proposal], lead_s: float, rules: ScaleRules) -> int:
    needs = ((_turns(one, lead_s, rules.standby_quantile), one.forecast) for one in proposals)
    return sum(max(0, math.ceil(min(agents, rules.fleet_ceiling)) - there) for agents, there in needs)


def _turns(made: Proposal, lead_s: float, quantile: float) -> float:
    """Agents for the quantile at that time; 0 without a forecast."""
    if made.expectation is None or made.reading is None:
        return 0.0
    return made.expectation.at(lead_s, quantile) / made.reading.slots
