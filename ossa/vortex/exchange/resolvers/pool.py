"""`{STATE:pool:POOL:ready}` and other values of a pool, read from the fleet's latest snapshot.

STATE    desired, ready, starting, draining, blocks, pending
DATA     manifests
"""

from __future__ import annotations

from dataclasses import dataclass

from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import POOL_ALIASES, PoolInfo
from ossa.vortex.exchange.call import ResolveCall
from ossa.vortex.exchange.placeholder import PlaceholderType
from ossa.vortex.exchange.resolvers.fields import Fields, read
from ossa.vortex.exchange.resolvers.fleet import SnapshotReader

FIELDS: Fields[PoolInfo] = {
    PlaceholderType.STATE: {
        "desired": lambda pool: str(pool.desired),
        "ready": lambda pool: str(pool.ready),
        "starting": lambda pool: str(pool.starting),
        "draining": lambda pool: str(pool.draining),
        "blocks": lambda pool: str(pool.blocks),
        "pending": lambda pool: pool.pending,
    },
    PlaceholderType.DATA: {"manifests": lambda pool: ", ".join(pool.manifests)},
}


@dataclass(frozen=True, slots=True)
class PoolResolver:
    """Pools are the operator's: every tenant sees their numbers."""

    fleet: SnapshotReader

    async def __call__(self, call: ResolveCall) -> str:
        """Raises `NotFound`, `NotReady`."""
        name = POOL_ALIASES.get(call.placeholder.scope, call.placeholder.scope)
        for pool in self.fleet.snapshot().pools:
            if pool.name == name:
                return read(FIELDS, call.placeholder, pool)
        raise NotFound(f"there is no pool {name}")
