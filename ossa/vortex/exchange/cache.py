"""Two caches as one: this process's front, and a store shared with other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic as system_monotonic
from typing import TypeVar

from ossa.caching.counts import CacheCounts
from ossa.caching.front import Front
from ossa.caching.guarded import FAILURES, GuardedCache
from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError
from ossa.vortex.exchange.counts import Counts
from ossa.vortex.exchange.held import Held, decode, encode

T = TypeVar("T")

FRONT_ENTRIES = 4096
FRONT_BYTES = 32 * 2**20


class TieredCache:
    """Never raises for what the store does: without it the front goes on alone, and `counts.cache_degraded` grows.

    Args:
        back: None: the front alone. One that is not guarded is guarded here, by the next arguments.
        answer_s: how long the store may take.
        failures: in a row, after which a store is left alone.
        rest_s: how long.
        monotonic: seconds, for `rest_s`.
    """

    def __init__(
        self,
        back: CacheStore | None = None,
        *,
        front: Front[Held] | None = None,
        counts: Counts | None = None,
        answer_s: float = 0.25,
        failures: int = FAILURES,
        rest_s: float = 1.0,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        if back is not None and not isinstance(back, GuardedCache):
            back = GuardedCache(
                back, room="exchange", answer_s=answer_s, failures=failures, rest_s=rest_s, clock=monotonic
            )
        self._back = back
        self.shared = back.counts if back is not None else CacheCounts()
        """Of both, as every cache counts."""
        self._front = front if front is not None else exchange_front()
        self.counts = counts or Counts()

    def near(self, key: str, *, tenant: str, now: float) -> Held | None:
        """What the front has, fresh or not; no IO."""
        return self._front.get((tenant, key), now)

    def used(self) -> None:
        """What `near` gave was fresh."""
        self.shared.front_hits += 1

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

    async def _ask(self, question: Callable[[GuardedCache], Awaitable[T]]) -> T | None:
        """None when the store is absent, resting or fails."""
        if self._back is None:
            return None
        try:
            return await question(self._back)
        except OssaError:
            self.counts.cache_degraded += 1
            return None


def exchange_front(max_entries: int = FRONT_ENTRIES, max_bytes: int = FRONT_BYTES) -> Front[Held]:
    return Front(lambda held: held.size, max_entries=max_entries, max_bytes=max_bytes)
