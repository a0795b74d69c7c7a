"""Whole placement groups, and the bounds of one pool."""

from __future__ import annotations

import math

from ossa.contracts.scaling import PoolBounds, ScaleRules

ROUNDING = 1e-9


def whole(agents: float) -> int:
    """Rounds up to whole agents, ignoring floating-point noise."""
    return math.ceil(agents - ROUNDING)


def blocks_up(agents: float, block: int) -> int:
    """Returns the agents of the fewest whole blocks that hold so many."""
    return whole(whole(agents) / block) * block


def block_less(agents: int, block: int) -> int:
    """Takes one block away; first a partial one."""
    return max(0, agents - (agents % block or block))


def bounds(pool: str, rules: ScaleRules) -> PoolBounds:
    """Returns a pool's bounds within the fleet's ceiling. If floor and ceiling cross, the ceiling holds."""
    own = rules.pools.get(pool, PoolBounds())
    ceiling = min(own.ceiling, rules.fleet_ceiling)
    return PoolBounds(floor=min(own.floor, ceiling), ceiling=ceiling)


def most_at_once(size: int, rules: ScaleRules) -> int:
    """Returns the largest size of one step up; one block is always allowed."""
    return max(int(size * rules.step_up), blocks_up(size + 1, rules.block_agents))
