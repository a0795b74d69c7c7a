"""A cache by its batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.errors import StoreUnavailable


class OneByOne(ABC):
    """What a `CacheStore` does, each a batch of one."""

    @abstractmethod
    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]: ...

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        return await self._one(CacheGet(tenant, key))

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        await self._one(CacheSet.checked(tenant, key, value, ttl_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._one(CacheDrop(tenant, key))

    async def _one(self, act: CacheAct) -> bytes | None:
        (outcome,) = await self.batch([act])
        if isinstance(outcome, StoreUnavailable):
            raise outcome
        return outcome
