from __future__ import annotations

import asyncio

import pytest

from ossa.caching.front import Absences
from ossa.caching.guarded import GuardedCache
from ossa.contracts.errors import PayloadTooLarge, StoreUnavailable
from ossa.resilience.breaker import BreakerState
from ossa.testing.stores.tiers import MemoryCache
from tests.support.clock import ManualClock


class Asked(MemoryCache):
    """Counts what reaches it. `hangs`: it never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self.hangs = False

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        self.times += 1
        if self.hangs:
            await asyncio.Event().wait()
        return await super().get(key, tenant=tenant)


async def fails(cache: GuardedCache, tenant: str = "t", times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            await cache.get("k", tenant=tenant)


async def test_a_store_that_failed_in_a_row_is_left_alone_then_one_tries_and_all_come_back() -> None:
    store, timer = Asked(), ManualClock()
    cache = GuardedCache(store, failures=3, rest_s=5, clock=timer.monotonic)
    store.go_down()
    await fails(cache, times=2)
    store.come_back()
    assert await cache.get("k", tenant="t") is None  # so they were not in a row
    store.go_down()
    await fails(cache, times=10)
    assert store.times == 2 + 1 + 3
    assert cache.counts.breaker is BreakerState.OPEN
    assert (cache.counts.failed, cache.counts.rested) == (5, 7)
    timer.advance(5)
    await fails(cache, times=10)
    assert store.times == 7
    store.come_back()
    await fails(cache)
    timer.advance(5)
    assert await cache.get("k", tenant="t") is None
    assert await cache.get("k", tenant="t") is None
    assert store.times == 9
    assert cache.counts.breaker is BreakerState.CLOSED


async def test_while_one_tries_the_others_do_not_wait_with_it() -> None:
    store, timer = Asked(), ManualClock()
    cache = GuardedCache(store, failures=1, rest_s=5, answer_s=30, clock=timer.monotonic)
    store.go_down()
    await fails(cache)
    store.come_back()
    store.hangs = True
    timer.advance(5)
    trying = asyncio.create_task(cache.get("k", tenant="t"))
    await asyncio.sleep(0)
    assert cache.counts.breaker is BreakerState.HALF_OPEN
    await fails(cache, times=3)
    assert store.times == 2
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    store.hangs = False
    assert await cache.get("k", tenant="t") is None  # who was cancelled told nothing: the next one tries


async def test_a_store_that_hangs_costs_its_answer_time_a_few_times_alone() -> None:
    store = Asked()
    store.hangs = True
    cache = GuardedCache(store, failures=2, answer_s=0.01, rest_s=1e6)
    await fails(cache, times=50)
    assert store.times == 2


async def test_what_fails_in_one_place_says_nothing_of_another() -> None:
    store = Asked()
    cache = GuardedCache(store, failures=1, rest_s=1e6, place=lambda tenant: tenant[0])
    store.go_down()
    await fails(cache, tenant="a1")
    store.come_back()
    await fails(cache, tenant="a2")
    assert await cache.get("k", tenant="b1") is None


async def test_a_place_that_nobody_goes_to_any_more_is_forgotten() -> None:
    store, timer, now_at = Asked(), ManualClock(), {"t": "old"}
    cache = GuardedCache(store, failures=1, rest_s=1, place=lambda tenant: now_at[tenant], clock=timer.monotonic)
    store.go_down()
    await fails(cache)
    store.come_back()
    now_at["t"] = "new"
    await cache.get("k", tenant="t")
    assert cache.counts.breaker is BreakerState.OPEN
    timer.advance(60)
    await cache.get("k", tenant="t")
    assert cache.counts.breaker is BreakerState.CLOSED


async def test_what_a_caller_does_wrong_is_no_failure_of_the_store() -> None:
    cache = GuardedCache(Asked(), failures=1, rest_s=1e6)
    with pytest.raises(PayloadTooLarge):
        await cache.set("k", b"x" * 2**21, tenant="t", ttl_s=1)
    assert await cache.get("k", tenant="t") is None
    assert cache.counts.failed == 0


async def test_hits_and_misses_are_counted() -> None:
    cache = GuardedCache(Asked())
    await cache.get("k", tenant="t")
    await cache.set("k", b"v", tenant="t", ttl_s=1)
    await cache.get("k", tenant="t")
    await cache.drop("k", tenant="t")
    assert (cache.counts.shared_hits, cache.counts.misses) == (1, 1)


def test_an_absence_is_remembered_for_its_time_and_until_it_comes() -> None:
    timer = ManualClock()
    absences = Absences(for_s=5, most=2, clock=timer.monotonic)
    absences.missed("a")
    absences.missed("b")
    assert "a" in absences and "c" not in absences
    absences.came("a")
    assert "a" not in absences and "b" in absences
    timer.advance(5)
    assert "b" not in absences
    for key in "xyz":
        absences.missed(key)
    assert [key in absences for key in "xyz"] == [False, True, True]
