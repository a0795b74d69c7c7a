"""A snapshot of the fleet, arranged once for many decisions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ossa.contracts.fleet import POOL_ALIASES, AgentInfo, AgentState, FleetSnapshot
from ossa.routing.features import words_of

SlotRow = tuple[AgentInfo, str, str, int]
"""(agent, agent_id, incarnation, slots): a plain tuple, because reading a model's fields costs the hot loop most."""


@dataclass(frozen=True)
class AgentGroup:
    """Agents that differ in nothing but their load: same pool, manifest and tenant."""

    pool: str
    manifest: str
    tenant: str | None
    seats: tuple[SlotRow, ...]
    """Ready ones only."""
    members: int
    """Ready, starting and draining ones."""
    description: str = ""
    skills: frozenset[str] = frozenset()
    """Capabilities and tools."""
    trust: float = 1.0

    @property
    def told(self) -> str:
        """All that its manifest says of what it is for."""
        names = " ".join((self.pool, self.manifest, self.description, *sorted(self.skills)))
        return names.replace("_", " ").replace("-", " ").replace(".", " ")

    def visible_to(self, tenant: str) -> bool:
        return self.tenant is None or self.tenant == tenant


@dataclass(frozen=True)
class FleetIndex:
    """Groups of equal agents and the words that lead to them."""

    groups: tuple[AgentGroup, ...]
    by_pool: dict[str, tuple[int, ...]]
    by_name: dict[str, tuple[int, ...]]
    """Agent ids and manifest names -> groups."""
    words: dict[str, tuple[float, tuple[int, ...]]]
    """Word -> its weight (idf) and the groups whose manifest has it."""
    pools: tuple[str, ...]
    owned: dict[str, frozenset[int]]
    """Tenant -> positions of the groups that are its own."""

    @classmethod
    def of(cls, snapshot: FleetSnapshot) -> FleetIndex:
        groups = _grouped(snapshot.agents)
        by_pool: dict[str, list[int]] = {pool.name: [] for pool in snapshot.pools}
        by_name: dict[str, dict[int, None]] = defaultdict(dict)
        for position, group in enumerate(groups):
            by_pool.setdefault(group.pool, []).append(position)
            by_name[group.manifest][position] = None
        places = {(group.pool, group.manifest, group.tenant): i for i, group in enumerate(groups)}
        for agent in snapshot.agents:
            by_name[agent.agent_id][places[(agent.pool, agent.manifest, agent.tenant)]] = None
        return cls(
            groups=groups,
            by_pool={name: tuple(found) for name, found in by_pool.items()},
            by_name={name: tuple(found) for name, found in by_name.items()},
            words=_words(groups),
            pools=tuple(by_pool),
            owned=_owned(groups),
        )

    def hidden_from(self, tenant: str) -> frozenset[int]:
        """Positions of other tenants' groups."""
        others = [positions for owner, positions in self.owned.items() if owner != tenant]
        return frozenset().union(*others)

    def pool_named(self, name: str) -> str | None:
        """The pool of that name or alias."""
        real = POOL_ALIASES.get(name, name)
        return real if real in self.by_pool else None


def _grouped(agents: Iterable[AgentInfo]) -> tuple[AgentGroup, ...]:
    # Two versions of one manifest share a group: during a rolling replacement either may answer.
    members: dict[tuple[str, str, str | None], list[AgentInfo]] = defaultdict(list)
    for agent in agents:
        members[(agent.pool, agent.manifest, agent.tenant)].append(agent)
    return tuple(_group(pool, manifest, tenant, found) for (pool, manifest, tenant), found in members.items())


def _group(pool: str, manifest: str, tenant: str | None, found: list[AgentInfo]) -> AgentGroup:
    last = found[-1]
    return AgentGroup(
        pool=pool,
        manifest=manifest,
        tenant=tenant,
        seats=tuple(
            (agent, agent.agent_id, agent.incarnation, agent.slots)
            for agent in found
            if agent.state is AgentState.READY
        ),
        members=len(found),
        description=last.description,
        skills=frozenset((*last.capabilities, *last.tools)),
        trust=min(agent.trust for agent in found),
    )


def _owned(groups: tuple[AgentGroup, ...]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for position, group in enumerate(groups):
        if group.tenant is not None:
            found[group.tenant].add(position)
    return {tenant: frozenset(positions) for tenant, positions in found.items()}


def _words(groups: tuple[AgentGroup, ...]) -> dict[str, tuple[float, tuple[int, ...]]]:
    found: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        for word in words_of(group.told):
            found[word].append(position)
    return {word: (math.log(1 + len(groups) / len(positions)), tuple(positions)) for word, positions in found.items()}
