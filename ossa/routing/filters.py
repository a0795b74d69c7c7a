"""Filters: which groups a request names, and which of them may and can do it."""

from __future__ import annotations

from collections.abc import Callable

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES
from ossa.contracts.task import Target
from ossa.routing.decision import Conditions, agent_subject
from ossa.routing.features import CAPABILITIES_KEY, RequestFeatures
from ossa.routing.index import AgentGroup, FleetIndex, SlotRow

NAMED_IN_ERRORS = 20


def named_groups(index: FleetIndex, target: Target, tenant: str) -> list[int]:
    """Returns the positions of the groups that the target names and the tenant may see.

    Raises `NotFound` with the known names if there is none.
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
        names = sorted({group.manifest for group in index.groups if group.visible_to(tenant)})
        raise NotFound(f"No agent named {target.name!r}. Known agents: {_listed(names)}.", param="model")
    return visible


def able_groups(
    index: FleetIndex, positions: list[int], features: RequestFeatures, conditions: Conditions
) -> tuple[list[int], dict[str, int]]:
    """Returns the groups that can and may do the request, and how many agents each filter removed.

    Open breakers remove nothing if no group would be left. Raises `NotFound` if no group can do it.
    """
    floor, filtered = conditions.policy.trust_floor, dict[str, int]()
    able = positions
    if features.needs:
        able = _kept(index, able, filtered, "capabilities", lambda group: features.needs <= group.skills)
        if positions and not able:
            skills = sorted(set().union(*(index.groups[position].skills for position in positions)))
            raise NotFound(
                f"No agent has all of {', '.join(sorted(features.needs))}. "
                f"Capabilities and tools there are: {_listed(skills)}.",
                param=f"metadata.{CAPABILITIES_KEY}",
            )
    if floor:
        trusted = _kept(index, able, filtered, "trust", lambda group: group.trust >= floor)
        if able and not trusted:
            raise NotFound(f"No agent that could do it claims the trust of {floor:g} that the policy asks for.")
        able = trusted
    for name, allows in conditions.filters.items():
        allowed = _kept(index, able, filtered, name, allows)
        if able and not allowed:
            raise NotFound(f"No agent that could do it is allowed by the filter {name!r}.", param="model")
        able = allowed
    if broken := conditions.open_breakers:
        working = _kept(
            index, able, filtered, "breaker", lambda group: agent_subject(group.tenant, group.manifest) not in broken
        )
        if working:
            able = working
        else:
            filtered.pop("breaker", None)
    return able, filtered


def ready_rows(group: AgentGroup, target: Target) -> tuple[SlotRow, ...]:
    """Returns the group's ready agents, or the one that the target names by its id."""
    if target.kind == "agent" and target.name != group.manifest:
        return tuple(row for row in group.ready if row[1] == target.name)
    return group.ready


def _kept(
    index: FleetIndex, positions: list[int], filtered: dict[str, int], name: str, keep: Callable[[AgentGroup], bool]
) -> list[int]:
    kept = [position for position in positions if keep(index.groups[position])]
    if len(kept) < len(positions):
        left = set(kept)
        filtered[name] = sum(index.groups[position].members for position in positions if position not in left)
    return kept


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
    return (", ".join(names[:NAMED_IN_ERRORS]) or "none") + more
