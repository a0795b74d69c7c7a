"""Lifetimes that do not end all at once."""

from __future__ import annotations

import random

from ossa.contracts.cache import CacheStore

SHARE = 0.1


class JitteredCache:
    """`ossa.contracts.cache.CacheStore` over another one: each lifetime is up to a tenth shorter or longer.

    What was kept at the same moment, after a start or a loss, is then not missed by everybody at the same moment again.
    """

    def __init__(self, store: CacheStore, rng: random.Random) -> None:
        self._store = store
        self._rng = rng

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        return await self._store.get(key, tenant=tenant)

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        await self._store.set(key, value, tenant=tenant, ttl_s=ttl_s * self._rng.uniform(1 - SHARE, 1 + SHARE))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._store.drop(key, tenant=tenant)

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        await self._store.close()
