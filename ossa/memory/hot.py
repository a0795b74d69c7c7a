"""The hot tier: what this process read last, and the cache that processes share.

Both may hold an old version, or one that was forgotten: whoever reads compares the version with the catalogue's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from sys import getsizeof
from time import monotonic
from typing import TypeVar

from ossa.caching.front import Absences, Front
from ossa.caching.guarded import CacheCounts, GuardedCache
from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.memory_tiers import Copy, Erasure

T = TypeVar("T")

FRONT_BYTES = 32 * 2**20
FRONT_S = 60.0
"""What was forgotten is gone from the fronts of other processes after this."""

AT_ONCE = 64


class HotCopies:
    """`ossa.contracts.memory_tiers.HotTier`.

    Args:
        cache: None: this process's front alone. One that is not guarded is guarded here.
        shared_s: how long the cache keeps a copy.
        answer_s: how long the cache may take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        cache: CacheStore | None = None,
        *,
        shared_s: float = 3600.0,
        answer_s: float = 0.25,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if cache is not None and not isinstance(cache, GuardedCache):
            cache = GuardedCache(cache, room="memory", answer_s=answer_s, clock=clock)
        self._cache = cache
        self.counts = cache.counts if cache is not None else CacheCounts()
        self._shared_s = shared_s
        self._answer_s = answer_s
        self._clock = clock
        self._front: Front[Copy] = Front(lambda copy: getsizeof(copy.content), max_bytes=FRONT_BYTES)
        # Of a copy that another process makes meanwhile the content comes from the catalogue: slower, and right.
        self._absent = Absences(clock=clock)

    async def get(self, tenant: str, id: str) -> Copy | None:
        near = self._front.get((tenant, id), self._clock())
        if near is not None:
            self.counts.front_hits += 1
            return near
        if self._cache is None or (tenant, id) in self._absent:
            self.counts.misses += 1
            return None
        try:
            data = await self._cache.get(id, tenant=tenant)
        except OssaError:
            return None
        if data is None:
            self._absent.missed((tenant, id))
            return None
        return _decoded(data)

    async def put(self, tenant: str, id: str, copy: Copy, *, shared: bool) -> None:
        self._front.put((tenant, id), copy, self._clock() + FRONT_S)
        if shared and self._cache is not None:
            self._absent.came((tenant, id))
            with contextlib.suppress(OssaError):
                await self._cache.set(id, _encoded(copy), tenant=tenant, ttl_s=self._shared_s)

    async def drop(self, tenant: str, ids: Sequence[str]) -> None:
        for id in ids:
            self._front.drop((tenant, id))
        await self._each(ids, lambda cache, id: cache.drop(id, tenant=tenant))

    async def count(self, erasure: Erasure) -> int:
        """Counts copies that are left. What was remembered afterwards under the same ids does not count."""
        tenant, ids = erasure.scope.tenant, erasure.ids
        near = [copy for id in ids if (copy := self._front.get((tenant, id), self._clock())) is not None]
        shared = await self._each(ids, lambda cache, id: cache.get(id, tenant=tenant))
        found = [*near, *(_decoded(data) for data in shared if data is not None)]
        return sum(copy is None or copy.version < erasure.fence for copy in found)

    async def close(self) -> None:
        if self._cache is not None:
            with contextlib.suppress(OssaError, TimeoutError):
                async with asyncio.timeout(self._answer_s):
                    await self._cache.close()

    async def _each(self, ids: Sequence[str], ask: Callable[[CacheStore, str], Awaitable[T]]) -> list[T]:
        """Asks the store itself, even while its breaker is open: a removal must happen. Raises `StoreUnavailable`."""
        if self._cache is None:
            return []
        store = self._cache.store
        found: list[T] = []
        for first in range(0, len(ids), AT_ONCE):
            try:
                async with asyncio.timeout(self._answer_s * 16):
                    found.extend(await asyncio.gather(*(ask(store, id) for id in ids[first : first + AT_ONCE])))
            except TimeoutError:
                raise StoreUnavailable("The shared cache did not answer in time.", retry_after_s=1.0) from None
        return found


def _encoded(copy: Copy) -> bytes:
    return b"%d\n%b" % (copy.version, copy.content.encode())


def _decoded(data: bytes) -> Copy | None:
    """None for what nobody here wrote."""
    version, _, content = data.partition(b"\n")
    try:
        return Copy(version=int(version), content=content.decode())
    except ValueError:
        return None
