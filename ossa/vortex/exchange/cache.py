"""Two caches as one: this process's front, and a store shared with other processes."""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof

import orjson

from ossa.caching.front import Front
from ossa.caching.guarded import CacheCounts, GuardedCache
from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import OssaError

FRONT_ENTRIES = 4096
FRONT_BYTES = 32 * 2**20
SKEW_S = 5.0
"""Another process may have kept a value, whose clock is ahead by this much at most."""


@dataclass(frozen=True, slots=True)
class Held:
    """A resolver's value as a cache holds it. `at` is in seconds since 1970."""

    text: str
    at: float

    def within(self, limit_s: float, now: float) -> bool:
        """Whether it is at most that old."""
        return -SKEW_S <= now - self.at < limit_s

    def encode(self) -> bytes:
        return orjson.dumps({"v": 2, "at": self.at, "text": self.text})

    @classmethod
    def decode(cls, data: bytes) -> Held | None:
        """None for anything that `encode` did not write."""
        try:
            match orjson.loads(data):
                case {"v": 2, "at": float(at), "text": str(text)}:
                    return cls(text, at)
        except ValueError:
            pass
        return None


class TieredCache:
    """Never raises for what the store does: without it the front goes on alone.

    Args:
        back: None: the front alone. A store that is not guarded is guarded here.
    """

    def __init__(self, back: CacheStore | None = None, *, front: Front[Held] | None = None) -> None:
        if back is not None and not isinstance(back, GuardedCache):
            back = GuardedCache(back, room="exchange")
        self._back = back
        self.shared = back.counts if back is not None else CacheCounts()
        """Counts of the front and the store together."""
        if front is None:
            front = Front(lambda held: getsizeof(held.text), max_entries=FRONT_ENTRIES, max_bytes=FRONT_BYTES)
        self._front = front

    def near(self, key: str, *, tenant: str, now: float) -> Held | None:
        """The fresh value of the front; no IO."""
        held = self._front.get((tenant, key), now)
        self.shared.front_hits += held is not None
        return held

    async def get(self, key: str, *, tenant: str, now: float, lifetime_s: float) -> Held | None:
        """The fresh value of the store, which the front then has too."""
        if self._back is None:
            return None
        try:
            data = await self._back.get(key, tenant=tenant)
        except OssaError:
            return None
        held = Held.decode(data) if data is not None else None
        if held is None or not held.within(lifetime_s, now):
            return None
        self._front.put((tenant, key), held, held.at + lifetime_s)
        return held

    async def put(self, key: str, held: Held, *, tenant: str, lifetime_s: float) -> None:
        self._front.put((tenant, key), held, held.at + lifetime_s)
        if self._back is None:
            return
        try:
            await self._back.set(key, held.encode(), tenant=tenant, ttl_s=lifetime_s)
        except OssaError:
            return
