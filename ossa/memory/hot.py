"""The hot tier: what this process read last, and the cache that processes share.

Both may hold an old version, or one that was forgotten: whoever reads compares the version with the catalogue's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeVar

from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.memory_rows import Copy, Erasure

log = logging.getLogger(__name__)

T = TypeVar("T")

FRONT_CHARS = 16 * 2**20
FRONT_S = 60.0
"""What was forgotten is gone from the fronts of other processes after this."""

REST_S = 1.0
AT_ONCE = 16


class HotCopies:
    """`ossa.contracts.memory_tiers.HotTier`.

    Args:
        cache: None: this process's front alone.
        shared_s: how long the cache keeps a copy.
        answer_s: how long the cache may take; one that took longer is left alone for `REST_S`.
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
        self.failures = 0
        self._cache = cache
        self._shared_s = shared_s
        self._answer_s = answer_s
        self._clock = clock
        self._rests_until = float("-inf")
        self._front: OrderedDict[tuple[str, str], tuple[Copy, float]] = OrderedDict()
        self._chars = 0

    async def get(self, tenant: str, id: str) -> Copy | None:
        near = self._near(tenant, id)
        if near is not None:
            return near
        data = await self._try(lambda cache: cache.get(id, tenant=tenant))
        return _decoded(data) if data is not None else None

    async def put(self, tenant: str, id: str, copy: Copy, *, shared: bool) -> None:
        self._keep(tenant, id, copy)
        if shared:
            data = _encoded(copy)
            await self._try(lambda cache: cache.set(id, data, tenant=tenant, ttl_s=self._shared_s))

    async def drop(self, tenant: str, ids: Sequence[str]) -> None:
        for id in ids:
            self._let_go(tenant, id)
        await self._each(ids, lambda cache, id: cache.drop(id, tenant=tenant))

    async def count(self, erasure: Erasure) -> int:
        """Of what was remembered afterwards under the same ids nothing is counted."""
        tenant, ids = erasure.scope.tenant, erasure.ids
        near = [self._front[tenant, id][0] for id in ids if (tenant, id) in self._front]
        shared = await self._each(ids, lambda cache, id: cache.get(id, tenant=tenant))
        found = [*near, *(_decoded(data) for data in shared if data is not None)]
        return sum(copy is None or copy.version < erasure.fence for copy in found)

    async def close(self) -> None:
        if self._cache is not None:
            await self._try(lambda cache: cache.close())

    async def _each(self, ids: Sequence[str], ask: Callable[[CacheStore, str], Awaitable[T]]) -> list[T]:
        """Raises `StoreUnavailable`."""
        if self._cache is None:
            return []
        found: list[T] = []
        for first in range(0, len(ids), AT_ONCE):
            try:
                async with asyncio.timeout(self._answer_s * AT_ONCE):
                    asked = (ask(self._cache, id) for id in ids[first : first + AT_ONCE])
                    found.extend(await asyncio.gather(*asked))
            except TimeoutError:
                raise StoreUnavailable("The shared cache did not answer in time.", retry_after_s=1.0) from None
        return found

    async def _try(self, ask: Callable[[CacheStore], Awaitable[T]]) -> T | None:
        """None when there is no cache, it rests, or it fails."""
        if self._cache is None or self._clock() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(self._answer_s):
                return await ask(self._cache)
        except (OssaError, TimeoutError) as error:
            self.failures += 1
            self._rests_until = self._clock() + REST_S
            log.warning("memory_cache_away", extra={"reason": str(error)[:200] or "it did not answer in time"})
            return None

    def _near(self, tenant: str, id: str) -> Copy | None:
        copy, until = self._front.get((tenant, id), (None, 0.0))
        if copy is None:
            return None
        if self._clock() >= until:
            self._let_go(tenant, id)
            return None
        self._front.move_to_end((tenant, id))
        return copy

    def _keep(self, tenant: str, id: str, copy: Copy) -> None:
        self._let_go(tenant, id)
        self._front[tenant, id] = copy, self._clock() + FRONT_S
        self._chars += len(copy.content)
        while self._chars > FRONT_CHARS:
            _, (gone, _) = self._front.popitem(last=False)
            self._chars -= len(gone.content)

    def _let_go(self, tenant: str, id: str) -> None:
        gone = self._front.pop((tenant, id), None)
        if gone is not None:
            self._chars -= len(gone[0].content)


def _encoded(copy: Copy) -> bytes:
    return b"%d\n%b" % (copy.version, copy.content.encode())


def _decoded(data: bytes) -> Copy | None:
    """None for what nobody here wrote."""
    version, _, content = data.partition(b"\n")
    try:
        return Copy(version=int(version), content=content.decode())
    except ValueError:
        return None
