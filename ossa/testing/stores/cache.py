"""A cache in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.testing.stores.gate import Gate, Gated


class MemoryCache(Gated):
    """`ossa.contracts.cache.BatchStore`, a fake for tests and trials. It has no bound.

    Args:
        clock: seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._gate = Gate()
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[bytes, float]] = {}

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        value, until = self._kept.get((tenant, key), (None, 0.0))
        if value is not None and self._clock() >= until:
            del self._kept[tenant, key]
            return None
        return value

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        act = CacheSet.checked(tenant, key, value, ttl_s)
        self._set(act)

    async def drop(self, key: str, *, tenant: str) -> None:
        self._kept.pop((tenant, key), None)

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        found: list[CacheOutcome] = [
            await self.get(act.key, tenant=act.tenant) if isinstance(act, CacheGet) else None for act in acts
        ]
        for act in acts:
            if isinstance(act, CacheSet):
                self._set(act)
            elif isinstance(act, CacheDrop):
                await self.drop(act.key, tenant=act.tenant)
        return found

    def place(self, tenant: str) -> str:
        return ""

    async def ping(self) -> None:
        """Raises `StoreUnavailable` while the fake is down."""

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    def _set(self, act: CacheSet) -> None:
        self._kept[act.tenant, act.key] = (bytes(act.value), self._clock() + act.lifetime_ms / 1000)
