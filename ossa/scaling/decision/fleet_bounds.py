"""Applies the fleet's floor and ceiling to proposals. Rules get the room first, the forecast gets the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ossa.contracts.scaling import ScaleRules
from ossa.scaling.decision.proposal import Proposal
from ossa.scaling.decision.triggers import bounds


def fit(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Brings `rules` and `forecast` of all proposals within the fleet's bounds, in place."""
    _keep_floor(proposals, rules)
    _cut(proposals, rules)
    _lift_to_floor(proposals, rules)
    sizes = {proposal.pool: proposal.rules for proposal in proposals}
    room = rules.fleet_ceiling - sum(sizes.values()) - rules.standby
    extra = {proposal.pool: max(0, proposal.forecast - proposal.rules) for proposal in proposals}
    given = share(extra, max(0, room), rules.block_agents)
    for proposal in proposals:
        if given[proposal.pool] < extra[proposal.pool]:
            proposal.reasons.append(f"fleet ceiling {rules.fleet_ceiling}")
        proposal.forecast = proposal.rules + given[proposal.pool]


def share(extra: Mapping[str, int], room: int, block: int) -> dict[str, int]:
    """Splits the room in proportion to the requests, by whole blocks. Grants all if the room is enough."""
    asked = sum(extra.values())
    if asked <= room:
        return dict(extra)
    given = {pool: int(wish * room / asked) // block * block for pool, wish in extra.items()}
    left = room - sum(given.values())
    for pool in sorted(extra, key=lambda pool: given[pool] - extra[pool]):
        more = min(left, extra[pool] - given[pool])
        given[pool] += more
        left -= more
    return given


def _keep_floor(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Lets pools give up blocks, largest first, only while the fleet stays above its floor."""
    total = sum(proposal.size for proposal in proposals)
    for proposal in sorted(proposals, key=lambda proposal: -proposal.size):
        if proposal.rules < proposal.size:
            if total - (proposal.size - proposal.rules) < rules.fleet_floor:
                proposal.rules = proposal.size
                proposal.forecast = max(proposal.forecast, proposal.rules)
                proposal.reasons.append(f"fleet floor {rules.fleet_floor}")
            total -= proposal.size - proposal.rules


def _cut(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Shares the room below the ceiling among raises by rules."""
    kept = sum(min(proposal.size, proposal.rules) for proposal in proposals)
    extra = {proposal.pool: max(0, proposal.rules - proposal.size) for proposal in proposals}
    given = share(extra, max(0, rules.fleet_ceiling - kept), rules.block_agents)
    for proposal in proposals:
        if given[proposal.pool] < extra[proposal.pool]:
            proposal.rules = proposal.size + given[proposal.pool]
            proposal.reasons.append(f"fleet ceiling {rules.fleet_ceiling}")
    total = kept + sum(given.values())
    if total > rules.fleet_ceiling:
        _shed(max(proposals, key=lambda proposal: proposal.rules), rules)


def _shed(largest: Proposal, rules: ScaleRules) -> None:
    """Takes a block from the largest pool, at the pace of a scale-in, if the ceiling was lowered below the fleet."""
    left = max(largest.rules - rules.block_agents, bounds(largest.pool, rules).floor)
    if largest.rules == largest.size and left < largest.size and largest.state.cooldown_s <= 0:
        largest.rules = largest.forecast = left
        largest.reasons.append(f"over the fleet's ceiling {rules.fleet_ceiling}: one block less")


def _lift_to_floor(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Raises pools in proportion to their sizes to the fleet's floor, as far as their ceilings allow."""
    short = min(rules.fleet_floor, rules.fleet_ceiling) - sum(proposal.rules for proposal in proposals)
    while short > 0:
        room = [proposal for proposal in proposals if proposal.rules < bounds(proposal.pool, rules).ceiling]
        if not room:
            return
        lift, total = short, sum(proposal.rules for proposal in room) or len(room)
        for proposal in sorted(room, key=lambda proposal: -proposal.rules):
            part = min(
                short, max(1, lift * proposal.rules // total), bounds(proposal.pool, rules).ceiling - proposal.rules
            )
            proposal.rules += part
            proposal.forecast = max(proposal.forecast, proposal.rules)
            proposal.reasons.append(f"fleet floor {rules.fleet_floor}")
            short -= part
