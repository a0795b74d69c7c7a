"""Two caches as one: this process's front, and a store shared with other processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic as system_monotonic
from typing import TypeVar

from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError
from ossa.vortex.exchange.counts import Counts
from ossa.vortex.exchange.front import Front
from ossa.vortex.exchange.held import Held, decode, encode

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TieredCache:
    """Never raises for what the store does: without it the front goes on alone, and `counts.cache_degraded` grows.

    Args:
        back: None: the front alone.
        answer_s: how long the store may take.
        rest_s: how long a store that failed is left alone.
        monotonic: seconds, for `rest_s`.
    """

    def __init__(
        self,
        back: CacheStore | None = None,
        *,
        front: Front | None = None,
        counts: Counts | None = None,
        answer_s: float = 0.25,
        rest_s: float = 1.0,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._back = back
        self._front = front or Front()
        self.counts = counts or Counts()
        self._answer_s = answer_s
        self._rest_s = rest_s
        self._monotonic = monotonic
        self._rests_until = float("-inf")

    def near(self, key: str, *, tenant: str, now: float) -> Held | None:
        """What the front has, fresh or not; no IO."""
        return self._front.get((tenant, key), now)

    async def get(self, key: str, *, tenant: str, now: float, keep_s: float, nests: bool) -> Held | None:
        """What the store has, fresh or not, else what the front has; the newer one if both.

        `keep_s` is how long after its birth a value may stay in the front.
        """
        near = self.near(key, tenant=tenant, now=now)
        data = await self._ask(lambda back: back.get(key, tenant=tenant))
        if data is None:
            return near
        far = decode(data, nests=nests)
        if far is None:
            self.counts.cache_unreadable += 1
            return near
        if near is not None and near.at >= far.at:
            return near
        self._front.put((tenant, key), far, far.at + keep_s)
        return far

    async def put(self, key: str, held: Held, *, tenant: str, keep_s: float) -> None:
        """Keep it in both for `keep_s` seconds."""
        self._front.put((tenant, key), held, held.at + keep_s)
        data = encode(held)
        await self._ask(lambda back: back.set(key, data, tenant=tenant, ttl_s=keep_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        """Forget it here and in the store; the fronts of other processes keep it until its lifetime ends."""
        self._front.drop((tenant, key))
        await self._ask(lambda back: back.drop(key, tenant=tenant))

    async def _ask(self, question: Callable[[CacheStore], Awaitable[T]]) -> T | None:
        """None when the store is absent, resting or fails."""
        if self._back is None:
            return None
        if self._monotonic() < self._rests_until:
            self.counts.cache_degraded += 1
            return None
        try:
            async with asyncio.timeout(self._answer_s):
                return await question(self._back)
        except (OssaError, TimeoutError) as error:
            self.counts.cache_degraded += 1
            self._rests_until = self._monotonic() + self._rest_s
            code = error.code if isinstance(error, OssaError) else "timed_out"
            logger.warning("exchange_cache_degraded", extra={"code": code, "rest_s": self._rest_s})
            return None
