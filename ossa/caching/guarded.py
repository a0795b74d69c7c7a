"""A shared cache that may fail: callers do not wait for it each time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from ossa.contracts.cache import CacheStore
from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable
from ossa.resilience.breaker import Breakers, BreakerState

log = logging.getLogger(__name__)

T = TypeVar("T")

PLACES_MAX = 256
ABANDONED_S = 30.0
"""A place that nobody asked for so long after its rest has another address by now."""

FAILURES = 3


@dataclass(slots=True)
class CacheCounts:
    """Totals since the cache was made; they only grow.

    `front_hits` were answered in the process, `shared_hits` by the store. `coalesced` gets waited for the same get of
    somebody else. `failed` calls raised or were not answered in time; `rested` calls were not made, because others had
    failed before. `breakers` are those of a guarded cache, by place.
    """

    front_hits: int = 0
    shared_hits: int = 0
    misses: int = 0
    coalesced: int = 0
    failed: int = 0
    rested: int = 0
    breakers: Breakers | None = None

    @property
    def breaker(self) -> BreakerState:
        """The state of the place that is worst."""
        return self.breakers.worst() if self.breakers is not None else BreakerState.CLOSED


class GuardedCache:
    """`ossa.contracts.cache.CacheStore` over another one. Raises `StoreUnavailable` at once while that one rests.

    Args:
        room: names it in logs.
        answer_s: how long the store may take; None: the store keeps its own deadlines.
        failures: in a row, after which the place is left alone.
        rest_s: how long; then one caller tries.
        place: the server that a tenant's keys live on; each has a breaker of its own.
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
        self._rest_s = rest_s
        self.place = place
        self._breakers = self.counts.breakers = Breakers(
            clock, failures=failures, rest_s=rest_s, abandoned_s=ABANDONED_S, most=PLACES_MAX
        )

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        value = await self._ask(tenant, lambda: self.store.get(key, tenant=tenant))
        if value is None:
            self.counts.misses += 1
        else:
            self.counts.shared_hits += 1
        return value

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        await self._ask(tenant, lambda: self.store.set(key, value, tenant=tenant, ttl_s=ttl_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._ask(tenant, lambda: self.store.drop(key, tenant=tenant))

    async def ping(self) -> None:
        """Asks the store even while it rests."""
        await self.store.ping()

    async def close(self) -> None:
        await self.store.close()

    async def _ask(self, tenant: str, question: Callable[[], Awaitable[T]]) -> T:
        place = self.place(tenant)
        if not self._breakers.admit(place):
            self.counts.rested += 1
            raise StoreUnavailable("The shared cache is left alone for a moment.", retry_after_s=self._rest_s)
        try:
            if self._answer_s is None:
                answer = await question()
            else:
                async with asyncio.timeout(self._answer_s):
                    answer = await question()
        except InvalidRequest:  # the caller's fault: it tells nothing of the store
            self._breakers.gave_up(place)
            raise
        except OssaError as error:
            self._failed(place, error.message)
            raise
        except TimeoutError:
            self._failed(place, "it did not answer in time")
            raise StoreUnavailable("The shared cache did not answer in time.", retry_after_s=self._rest_s) from None
        except BaseException:
            self._breakers.gave_up(place)
            raise
        if self._breakers.succeeded(place):
            log.info("cache_back", extra={"room": self._room, "place": place})
        return answer

    def _failed(self, place: str, reason: str) -> None:
        self.counts.failed += 1
        if self._breakers.failed(place):
            fields = {"room": self._room, "place": place, "reason": reason[:300], "rest_s": self._rest_s}
            log.warning("cache_away", extra=fields)
