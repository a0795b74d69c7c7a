"""Who may and can do a request."""

from __future__ import annotations

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES
from ossa.contracts.task import Target
from ossa.routing.index import AgentGroup, FleetIndex, Seat

NAMED_IN_ERRORS = 20


def named_groups(index: FleetIndex, target: Target, tenant: str) -> list[int]:
    """Positions of the groups that the target names and the tenant may see.

    Raises `NotFound`, listing what is known, when it names nothing (or nothing of this tenant's).
    """
    if target.kind == "pool":
        pool = index.pool_named(target.name)
        if pool is None:
            known = sorted({*index.pools, *POOL_ALIASES})
            raise NotFound(f"No pool named {target.name!r}. Known pools: {', '.join(known) or 'none'}.", param="model")
        positions: tuple[int, ...] = index.by_pool[pool]
    elif target.kind == "agent":
        positions = index.by_name.get(target.name, ())
    else:
        positions = tuple(range(len(index.groups)))
    hidden = index.hidden_from(tenant)
    visible = [position for position in positions if position not in hidden] if hidden else list(positions)
    if not visible and target.kind == "agent":
        raise NotFound(f"No agent named {target.name!r}. Known agents: {_known_agents(index, tenant)}.", param="model")
    return visible


def wanted_seats(group: AgentGroup, target: Target) -> tuple[Seat, ...]:
    """The group's ready agents; one only where the target names one by its id."""
    if target.kind == "agent" and target.name != group.manifest:
        return tuple(seat for seat in group.seats if seat[1] == target.name)
    return group.seats


def _known_agents(index: FleetIndex, tenant: str) -> str:
    names = sorted({group.manifest for group in index.groups if group.visible_to(tenant)})
    more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
    return (", ".join(names[:NAMED_IN_ERRORS]) or "none") + more
