"""A snapshot of the fleet, indexed once for many decisions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ossa.contracts.fleet import POOL_ALIASES, AgentInfo, AgentState, FleetSnapshot
from ossa.routing.features import RequestFeatures, words_of

HALF_FIT = 2.0
"""Sum of idf at which the fit by words is one half."""

SlotRow = tuple[AgentInfo, str, str, int]
"""(agent, agent_id, incarnation, slots). A plain tuple, because reading a model's fields dominates the hot loop."""


@dataclass(frozen=True)
class AgentGroup:
    """Agents of the same pool, manifest and tenant: they differ only in their headroom."""

    pool: str
    manifest: str
    tenant: str | None
    ready: tuple[SlotRow, ...]
    members: int
    """Ready, starting and draining agents."""
    description: str = ""
    skills: frozenset[str] = frozenset()
    """Capabilities and tools."""
    trust: float = 1.0

    @property
    def description_text(self) -> str:
        """Pool, manifest, description and skills as plain words."""
        return plain_words(self.pool, self.manifest, self.description, *sorted(self.skills))

    def visible_to(self, tenant: str) -> bool:
        return self.tenant is None or self.tenant == tenant


@dataclass(frozen=True)
class FleetIndex:
    """Groups of equal agents, and the words that lead to them."""

    groups: tuple[AgentGroup, ...]
    by_pool: dict[str, tuple[int, ...]]
    by_name: dict[str, tuple[int, ...]]
    """Positions of groups by agent id and manifest name."""
    words: dict[str, tuple[float, tuple[int, ...]]]
    """Word -> weight (idf) and positions of the groups that have it."""
    pools: tuple[str, ...]
    owned: dict[str, frozenset[int]]
    """Tenant -> positions of its own groups."""

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
            by_pool={name: tuple(positions) for name, positions in by_pool.items()},
            by_name={name: tuple(positions) for name, positions in by_name.items()},
            words=_words(groups),
            pools=tuple(by_pool),
            owned=_owned(groups),
        )

    def hidden_from(self, tenant: str) -> frozenset[int]:
        """Returns the positions of other tenants' groups."""
        others = [positions for owner, positions in self.owned.items() if owner != tenant]
        return frozenset().union(*others)

    def fits_by_words(self, features: RequestFeatures) -> list[float]:
        """Returns a fit in [0, 1] for each group by the words it shares with the request; empty if none shares any."""
        sums: dict[int, float] = {}
        for word in features.words:
            weight, positions = self.words.get(word, (0.0, ()))
            for position in positions:
                sums[position] = sums.get(position, 0.0) + weight
        fits = [0.0] * len(self.groups) if sums else []
        for position, total in sums.items():
            fits[position] = total / (total + HALF_FIT)
        return fits

    def pool_named(self, name: str) -> str | None:
        """The pool of that name or alias."""
        real = POOL_ALIASES.get(name, name)
        return real if real in self.by_pool else None


def plain_words(*names: str) -> str:
    """Joins names, with their separators read as spaces."""
    return " ".join(names).replace("_", " ").replace("-", " ").replace(".", " ")


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
        ready=tuple(
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
        for word in words_of(group.description_text):
            found[word].append(position)
    return {word: (math.log(1 + len(groups) / len(positions)), tuple(positions)) for word, positions in found.items()}
