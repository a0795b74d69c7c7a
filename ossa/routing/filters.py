"""Who may and can do a request."""

from __future__ import annotations

from collections.abc import Callable

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES
from ossa.contracts.task import Target
from ossa.routing.conditions import Conditions, agent_subject
from ossa.routing.features import CAPABILITIES_KEY, RequestFeatures
from ossa.routing.index import AgentGroup, FleetIndex, SlotRow

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


def able_groups(
    index: FleetIndex, positions: list[int], features: RequestFeatures, conditions: Conditions
) -> tuple[list[int], dict[str, int]]:
    """Those of the groups that can and may do it, and how many agents each filter took out.

    A breaker takes out nothing where it would leave nobody. Raises `NotFound` when nobody can do it.
    """
    floor, filtered = conditions.policy.trust_floor, dict[str, int]()
    able = positions
    if features.needs:
        able = _kept(index, able, filtered, "capabilities", lambda group: features.needs <= group.skills)
        if positions and not able:
            asked = ", ".join(sorted(features.needs))
            raise NotFound(
                f"No agent has all of {asked}. Capabilities and tools there are: {_known_skills(index, positions)}.",
                param=f"metadata.{CAPABILITIES_KEY}",
            )
    if floor:
        trusted = _kept(index, able, filtered, "trust", lambda group: group.trust >= floor)
        if able and not trusted:
            raise NotFound(f"No agent that could do it claims the trust of {floor:g} that the policy asks for.")
        able = trusted
    if conditions.open_breakers:
        well = _kept(index, able, filtered, "breaker", lambda group: not _is_open(group, conditions))
        if well:
            able = well
        else:
            filtered.pop("breaker", None)
    return able, filtered


def _is_open(group: AgentGroup, conditions: Conditions) -> bool:
    return agent_subject(group.tenant, group.manifest) in conditions.open_breakers


def _kept(
    index: FleetIndex, positions: list[int], filtered: dict[str, int], name: str, keep: Callable[[AgentGroup], bool]
) -> list[int]:
    found = [position for position in positions if keep(index.groups[position])]
    if len(found) < len(positions):
        left = set(found)
        filtered[name] = sum(index.groups[position].members for position in positions if position not in left)
    return found


def wanted_seats(group: AgentGroup, target: Target) -> tuple[SlotRow, ...]:
    """The group's ready agents; one only where the target names one by its id."""
    if target.kind == "agent" and target.name != group.manifest:
        return tuple(seat for seat in group.seats if seat[1] == target.name)
    return group.seats


def _known_skills(index: FleetIndex, positions: list[int]) -> str:
    return _listed(sorted(set().union(*(index.groups[position].skills for position in positions))))


def _known_agents(index: FleetIndex, tenant: str) -> str:
    names = sorted({group.manifest for group in index.groups if group.visible_to(tenant)})
    return _listed(names)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
    return (", ".join(names[:NAMED_IN_ERRORS]) or "none") + more
