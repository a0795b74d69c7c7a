"""Started agents without a manifest: as many as may be needed before a cold one could be up, and who borrows them.

Borrowing starts and ends no process and changes no size: a standby is given a manifest, which takes milliseconds. So it
needs no cool-down. The rules ask for agents as if nothing were borrowed (`read`): when the cool-down ends the pool gets
its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ossa.contracts.scaling import SAMPLE_S, ScaleRules, StartUp
from ossa.scaling.decision.fleet_bounds import share
from ossa.scaling.decision.proposal import Proposal
from ossa.scaling.decision.triggers import bounds


def standbys(proposals: Sequence[Proposal], held: int, nodes: int | None, rules: ScaleRules, start_up: StartUp) -> int:
    """Returns the fleet's standbys: how far the upper band exceeds the agents within the start-up time, over all pools.

    The start-up time is that of so many cold agents, of which only some start at the same time, plus that of a cold
    node where the running nodes have no room for them. `rules.standby`, which replace lost agents, come on top. The
    fleet's ceiling limits the sum. If a pool has no reading, at least the `held` standbys stay.
    """
    agents = sum(proposal.forecast for proposal in proposals)
    growth = _growth(proposals, start_up.agent_s + SAMPLE_S, rules)
    if nodes is not None and agents + growth > nodes * start_up.agents_per_node:
        growth = max(growth, _growth(proposals, start_up.agent_s + SAMPLE_S + start_up.node_s, rules))
    for begins, later in _later(proposals, growth, rules):
        lead = SAMPLE_S + start_up.agents_s(later)
        if nodes is not None and agents + later > nodes * start_up.agents_per_node:
            lead += start_up.node_s
        if begins <= lead:
            growth = max(growth, later)
    wanted = rules.standby + growth
    if any(proposal.reading is None for proposal in proposals):
        wanted = max(wanted, held)
    return max(0, min(wanted, rules.fleet_ceiling - agents))


def nodes_hint(proposals: Sequence[Proposal], standby: int, rules: ScaleRules, start_up: StartUp) -> int:
    """Returns nodes for the decision and for the most that is expected before a node requested later is up."""
    lead = start_up.node_s + start_up.agent_s + rules.cooldown_s
    agents = sum(
        max(proposal.forecast, math.ceil(_most(proposal, lead, rules.agents_quantile))) for proposal in proposals
    )
    return math.ceil(min(agents + standby, rules.fleet_ceiling) / start_up.agents_per_node)


def _growth(proposals: Sequence[Proposal], lead_s: float, rules: ScaleRules) -> int:
    needs = ((_held(proposal, lead_s, rules.standby_quantile), proposal) for proposal in proposals)
    return sum(
        max(_kept(proposal), math.ceil(min(agents, rules.fleet_ceiling)) - proposal.forecast)
        for agents, proposal in needs
    )


def _later(proposals: Sequence[Proposal], now: int, rules: ScaleRules) -> list[tuple[float, int]]:
    """Returns (seconds until it begins, additional agents) of each minute forecast to need more than `now`."""
    growth: dict[float, int] = defaultdict(int)
    for proposal in proposals:
        if proposal.expectation is None or proposal.reading is None:
            continue
        for begins, turns in proposal.expectation.minutes(rules.standby_quantile):
            agents = math.ceil(min(turns / proposal.reading.slots, rules.fleet_ceiling))
            growth[begins] += max(0, agents - proposal.forecast)
    return [(begins, more) for begins, more in growth.items() if more > now]


def _kept(made: Proposal) -> int:
    """Returns borrowed standbys that are in use: they stay when a forecast is gone."""
    if made.reading is None:
        return made.state.borrowed_standbys
    return max(
        0, min(made.state.borrowed_standbys, math.ceil(made.reading.recent / made.reading.slots) - made.forecast)
    )


def _held(made: Proposal, lead_s: float, quantile: float) -> float:
    """Returns agents to have ready at that time; 0 without a forecast."""
    if made.expectation is None or made.reading is None:
        return 0.0
    return made.expectation.held(lead_s, quantile) / made.reading.slots


def _most(made: Proposal, until_s: float, quantile: float) -> float:
    """Returns agents for the largest quantile until that time; 0 without a forecast."""
    if made.expectation is None or made.reading is None:
        return 0.0
    return made.expectation.most(until_s, quantile) / made.reading.slots


def borrow_standbys(
    proposals: Sequence[Proposal], standby: int, rules: ScaleRules, start_up: StartUp
) -> dict[str, int]:
    """Returns standbys by pool: its need of the last minute, or its expected need, past its own agents.

    `rules.standby` are never borrowed: they replace lost agents. A pool never works with more than its ceiling. A pool
    without a reading keeps what it has.
    """
    wishes = {proposal.pool: _wish(proposal, rules, start_up) for proposal in proposals}
    return share(wishes, max(0, standby - rules.standby), 1)


def _wish(made: Proposal, rules: ScaleRules, start_up: StartUp) -> int:
    room = max(0, bounds(made.pool, rules).ceiling - made.forecast)
    if made.reading is None:
        return min(made.state.borrowed_standbys, room)
    turns = made.reading.recent
    if made.expectation is not None:
        turns = max(turns, made.expectation.held(start_up.agent_s + SAMPLE_S, rules.standby_quantile))
    return min(max(0, math.ceil(turns / made.reading.slots) - made.forecast), room)
