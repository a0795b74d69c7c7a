"""Which agents a desired fleet has."""

from __future__ import annotations

from collections.abc import Mapping

from ossa.contracts.fleet import DesiredFleet, DesiredPool
from ossa.contracts.task import Assignment
from ossa.fleet.naming import agent_id


def wanted_agents(desired: DesiredFleet) -> dict[str, Assignment]:
    """Every agent by id: the pools' first agents first, so that all pools come up together; tenants' own last.

    A pool without manifests has no agents to start. Borrowed standbys have the ids after the pool's own.
    """
    borrowed = borrowed_standbys(desired)
    indexed = [(index, assignment) for pool in desired.pools for index, assignment in _pool_agents(pool, borrowed)]
    indexed.sort(key=lambda pair: pair[0])
    wanted = {assignment.agent_id: assignment for _, assignment in indexed}
    for own in desired.agents:
        wanted.setdefault(
            own.agent_id, Assignment(agent_id=own.agent_id, pool=own.pool, tenant=own.tenant, spec=own.spec)
        )
    return wanted


def borrowed_standbys(desired: DesiredFleet) -> dict[str, int]:
    """Returns borrowed standbys by pool. A pool of size 0 or without manifests borrows none."""
    pools = {pool.name for pool in desired.pools if pool.size and pool.manifests}
    return {pool: count for pool, count in desired.borrowed_standbys.items() if pool in pools and count > 0}


def _pool_agents(pool: DesiredPool, borrowed: Mapping[str, int]) -> list[tuple[int, Assignment]]:
    if not pool.manifests:
        return []
    count = len(pool.manifests)
    return [
        (index, Assignment(agent_id=agent_id(pool.name, index), pool=pool.name, spec=pool.manifests[index % count]))
        for index in range(pool.size + borrowed.get(pool.name, 0))
    ]
