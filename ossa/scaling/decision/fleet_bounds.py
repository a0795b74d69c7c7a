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
    sizes = {one.pool: one.rules for one in proposals}
    room = rules.fleet_ceiling - sum(sizes.values()) - rules.standby
    extra = {one.pool: max(0, one.forecast - one.rules) for one in proposals}
    given = share(extra, max(0, room), rules.block_agents)
    for one in proposals:
        if given[one.pool] < extra[one.pool]:
            one.reasons.append(f"fleet ceiling {rules.fleet_ceiling}")
        one.forecast = one.rules + given[one.pool]


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
    total = sum(one.size for one in proposals)
    for one in sorted(proposals, key=lambda one: -one.size):
        if one.rules < one.size:
            if total - (one.size - one.rules) < rules.fleet_floor:
                one.rules = one.size
                one.forecast = max(one.forecast, one.rules)
                one.reasons.append(f"fleet floor {rules.fleet_floor}")
            total -= one.size - one.rules


def _cut(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Shares the room below the ceiling among raises by rules."""
    kept = sum(min(one.size, one.rules) for one in proposals)
    extra = {one.pool: max(0, one.rules - one.size) for one in proposals}
    given = share(extra, max(0, rules.fleet_ceiling - kept), rules.block_agents)
    for one in proposals:
        if given[one.pool] < extra[one.pool]:
            one.rules = one.size + given[one.pool]
            one.reasons.append(f"fleet ceiling {rules.fleet_ceiling}")
    total = kept + sum(given.values())
    if total > rules.fleet_ceiling:
        _shed(max(proposals, key=lambda one: one.rules), rules)


def _shed(largest: Proposal, rules: ScaleRules) -> None:
    """Takes a block from the largest pool, at the pace of a scale-in, if the ceiling was lowered below the fleet."""
    left = max(largest.rules - rules.block_agents, bounds(largest.pool, rules).floor)
    if largest.rules == largest.size and left < largest.size and largest.state.cooldown_s <= 0:
        largest.rules = largest.forecast = left
        largest.reasons.append(f"over the fleet's ceiling {rules.fleet_ceiling}: one block less")


def _lift_to_floor(proposals: Sequence[Proposal], rules: ScaleRules) -> None:
    """Raises pools in proportion to their sizes to the fleet's floor, as far as their ceilings allow."""
    short = min(rules.fleet_floor, rules.fleet_ceiling) - sum(one.rules for one in proposals)
    while short > 0:
        room = [one for one in proposals if one.rules < bounds(one.pool, rules).ceiling]
        if not room:
            return
        lift, total = short, sum(one.rules for one in room) or len(room)
        for one in sorted(room, key=lambda one: -one.rules):
            part = min(short, max(1, lift * one.rules // total), bounds(one.pool, rules).ceiling - one.rules)
            one.rules += part
            one.forecast = max(one.forecast, one.rules)
            one.reasons.append(f"fleet floor {rules.fleet_floor}")
            short -= part
