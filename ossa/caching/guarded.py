"""A store that may be away, without waiting for it each time."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from ossa.caching.breaker import Breaker
from ossa.caching.counts import BreakerState, CacheCounts
from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

PLACES_MAX = 256
FAILURES = 3


class GuardedCache:
    """`ossa.contracts.cache.CacheStore` over another one. Raises `StoreUnavailable` at once while that one rests.

    Args:
        room: names it in logs.
        answer_s: how long the store may take; None for one that sees to it itself.
        failures: in a row, after which the place is left alone.
        rest_s: how long; then one caller tries.
        place: of a tenant; what fails in one place says nothing of another.
        clock: monotonic seconds, for `rest_s`.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        room: str = "",
        answer_s: float | None = 0.25,
        failures: int = FAILURES,
        rest_s: float = 1.0,
        place: Callable[[str], str] = lambda tenant: "",
        counts: CacheCounts | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.store = store
        self.counts = counts or CacheCounts()
        self._room = room
        self._answer_s = answer_s
        self._failures = failures
        self._rest_s = rest_s
        self.place = place
        self._clock = clock
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        found = await self._ask(tenant, lambda: self.store.get(key, tenant=tenant))
        if found is None:
            self.counts.misses += 1
        else:
            self.counts.shared_hits += 1
        return found

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        await self._ask(tenant, lambda: self.store.set(key, value, tenant=tenant, ttl_s=ttl_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._ask(tenant, lambda: self.store.drop(key, tenant=tenant))

    async def ping(self) -> None:
        """Asks, whether it rests or not."""
        await self.store.ping()

    async def close(self) -> None:
        await self.store.close()

    async def _ask(self, tenant: str, question: Callable[[], Awaitable[T]]) -> T:
        place = self.place(tenant)
        breaker = self._breakers.get(place)
        if breaker is not None:
            self._admit(place, breaker)
        try:
            if self._answer_s is None:
                found = await question()
            else:
                async with asyncio.timeout(self._answer_s):
                    found = await question()
        except InvalidRequest:  # the caller's fault: it tells nothing of the store
            if breaker is not None:
                breaker.gave_up()
            raise
        except OssaError as error:
            self._failed(place, error.message)
            raise
        except TimeoutError:
            self._failed(place, "it did not answer in time")
            raise StoreUnavailable("The shared cache did not answer in time.", retry_after_s=self._rest_s) from None
        except BaseException:
            if breaker is not None:
                breaker.gave_up()
            raise
        if self._breakers:
            self._answered(place)
        return found

    def _admit(self, place: str, breaker: Breaker) -> None:
        """Raises `StoreUnavailable` while the place rests."""
        now = self._clock()
        if not breaker.admits(now):
            self.counts.rested += 1
            raise StoreUnavailable("The shared cache is left alone for a moment.", retry_after_s=self._rest_s)
        if (state := breaker.state(now)) is not BreakerState.CLOSED:
            self.counts.breakers[place] = state

    def _answered(self, place: str) -> None:
        self._breakers.pop(place, None)
        if self.counts.breakers.pop(place, None) is not None:
            log.info("cache_back", extra={"room": self._room, "place": place})
        now = self._clock()
        for other in [other for other, breaker in self._breakers.items() if breaker.abandoned(now)]:
            del self._breakers[other]
            self.counts.breakers.pop(other, None)

    def _failed(self, place: str, reason: str) -> None:
        self.counts.failed += 1
        breaker = self._breakers.get(place)
        if breaker is None:
            breaker = self._breakers[place] = Breaker(failures=self._failures, rest_s=self._rest_s)
            if len(self._breakers) > PLACES_MAX:
                gone, _ = self._breakers.popitem(last=False)
                self.counts.breakers.pop(gone, None)
        breaker.failed(self._clock())
        if not breaker.closed:
            if place not in self.counts.breakers:
                fields = {"room": self._room, "place": place, "reason": reason[:300], "rest_s": self._rest_s}
                log.warning("cache_away", extra=fields)
            self.counts.breakers[place] = BreakerState.OPEN
