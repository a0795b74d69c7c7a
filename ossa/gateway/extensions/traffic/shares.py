"""Which pools what waits belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from ossa.contracts.task import Target
from ossa.routing import FleetIndex

ANY = "*"
"""In a pool's place, of turns that go wherever routing says; no pool's name."""


def pool_of(target: Target, index: FleetIndex) -> str | None:
    """`ANY` where routing will say. None: nothing of that name, or a tenant's own agent."""
    if target.kind == "auto":
        return ANY
    if target.kind == "pool":
        return index.pool_named(target.name)
    groups = [index.groups[position] for position in index.by_name.get(target.name, ())]
    return next((group.pool for group in groups if group.tenant is None), None)


def places_of(index: FleetIndex) -> dict[str, int]:
    """Turns at once that each pool's ready agents take; 1 each while there are none at all."""
    found = dict.fromkeys(index.by_pool, 0)
    for group in index.groups:
        if group.tenant is None:
            found[group.pool] += sum(slots for *_, slots in group.ready)
    return found if any(found.values()) else dict.fromkeys(found, 1)


def split(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`count` shared out by weights, by the largest remainder; none of it is lost while a weight is above 0."""
    total = sum(weights.values())
    if count <= 0 or total <= 0:
        return {}
    exact = {name: count * weight / total for name, weight in weights.items()}
    found = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in by_remainder[: count - sum(found.values())]:
        found[name] += 1
    return found
