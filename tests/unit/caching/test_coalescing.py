from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from ossa.caching.coalescing import ACTS_MAX, CoalescingCache
from ossa.contracts.cache import CacheAct, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.testing.stores.tiers import MemoryCache

LONG_S = 60.0
"""Only the test of the deadline lets time decide."""


class Slow(MemoryCache):
    """Answers to reads wait until they are let through, so that they may be old by then."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[CacheAct]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        self.batches.append(list(acts))
        found = await super().batch(acts)
        if any(isinstance(act, CacheGet) for act in acts):
            await self.open.wait()
        return found

    def place(self, tenant: str) -> str:
        return tenant[0]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_asked_at_the_same_time_goes_in_one_batch() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    await asyncio.gather(*(cache.set(f"{n}", b"%d" % n, tenant="t", ttl_s=60) for n in range(100)))
    found = await asyncio.gather(*(cache.get(f"{n}", tenant="t") for n in range(100)))
    assert found == [b"%d" % n for n in range(100)]
    assert [len(batch) for batch in store.batches] == [100, 100]


async def test_each_place_has_batches_of_its_own_so_that_one_waits_for_no_other() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    store.open.clear()
    waiting = [asyncio.create_task(cache.get("k", tenant=tenant)) for tenant in ("a1", "b1", "a2")]
    await turns()
    assert sorted(len(batch) for batch in store.batches) == [1, 2]
    store.open.set()
    assert await asyncio.gather(*waiting) == [None] * 3


async def test_what_comes_while_batches_are_on_their_way_makes_the_next_one() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    store.open.clear()
    waiting = []
    for number in range(50):
        waiting.append(asyncio.create_task(cache.get(f"{number}", tenant="t")))
        await turns(2)
    assert len(store.batches) == 2
    store.open.set()
    await asyncio.gather(*waiting)
    assert len(store.batches) == 3


async def test_a_batch_is_bounded() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    await asyncio.gather(*(cache.get(f"{n}", tenant="t") for n in range(2 * ACTS_MAX + 1)))
    assert [len(batch) for batch in store.batches] == [ACTS_MAX, ACTS_MAX, 1]
    store.batches.clear()
    await asyncio.gather(*(cache.set(f"{n}", b"x" * 2**20, tenant="t", ttl_s=9) for n in range(9)))
    assert [len(batch) for batch in store.batches] == [4, 4, 1]


async def test_the_same_question_is_asked_once_and_each_tenants_is_its_own() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    await cache.set("k", b"v", tenant="t", ttl_s=60)
    store.batches.clear()
    found = await asyncio.gather(*(cache.get("k", tenant="t") for _ in range(10)), cache.get("k", tenant="tt"))
    assert found == [b"v"] * 10 + [None]
    assert store.batches == [[CacheGet("t", "k"), CacheGet("tt", "k")]]
    assert cache.counts.coalesced == 9


async def test_after_a_write_nobody_waits_for_an_answer_that_is_older() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    await cache.set("k", b"old", tenant="t", ttl_s=60)
    store.open.clear()
    early = asyncio.create_task(cache.get("k", tenant="t"))
    await turns()
    await cache.set("k", b"new", tenant="t", ttl_s=60)
    late = asyncio.create_task(cache.get("k", tenant="t"))
    await turns()
    store.open.set()
    assert await late == b"new"
    assert await early == b"old"


async def test_who_is_cancelled_takes_nobody_along_and_who_left_is_not_asked_for() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    one, other, alone = (asyncio.create_task(cache.get(key, tenant="t")) for key in ("k", "k", "alone"))
    await asyncio.sleep(0)
    one.cancel()
    alone.cancel()
    assert await other is None
    with pytest.raises(asyncio.CancelledError):
        await one
    assert store.batches in ([[CacheGet("t", "k")]], [[CacheGet("t", "k"), CacheGet("t", "alone")]])


async def test_nobody_waits_longer_than_the_answer_time() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=0.01)
    store.open.clear()
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="in time"):
            await cache.get("k", tenant="t")
    store.open.set()
    await turns()
    assert await cache.get("k", tenant="t") is None
    await cache.close()


async def test_each_has_the_outcome_of_its_own_act() -> None:
    class Half(MemoryCache):
        async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
            return [StoreUnavailable("this part is away") if act.tenant == "away" else b"v" for act in acts]

    cache = CoalescingCache(Half(), answer_s=LONG_S)
    found = await asyncio.gather(cache.get("k", tenant="away"), cache.get("k", tenant="there"), return_exceptions=True)
    assert isinstance(found[0], StoreUnavailable) and found[1] == b"v"


async def test_a_store_that_is_down_says_so_to_everybody_and_a_wrong_lifetime_harms_nobody_else() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    found = await asyncio.gather(
        cache.set("k", b"v", tenant="t", ttl_s=0), cache.get("k", tenant="t"), return_exceptions=True
    )
    assert isinstance(found[0], InvalidRequest) and found[1] is None
    store.go_down()
    found = await asyncio.gather(*(cache.get("k", tenant="t") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in found)
    assert len({id(one) for one in found}) == 3


async def test_closing_leaves_nobody_waiting() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S)
    store.open.clear()
    waiting = [asyncio.create_task(cache.get(f"{n}", tenant="t")) for n in range(3 * ACTS_MAX)]
    await turns()
    await cache.close()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in found)


def test_a_set_is_checked_before_it_is_queued() -> None:
    with pytest.raises(InvalidRequest):
        CacheSet.checked("t", "k", b"v", float("nan"))


async def test_lifetimes_differ_by_up_to_a_tenth() -> None:
    store = Slow()
    cache = CoalescingCache(store, answer_s=LONG_S, rng=random.Random(1))
    await asyncio.gather(*(cache.set(f"{number}", b"v", tenant="t", ttl_s=100) for number in range(200)))
    lifetimes = [act.lifetime_ms / 1000 for batch in store.batches for act in batch if isinstance(act, CacheSet)]
    assert len(lifetimes) == 200 and all(90 <= lifetime <= 110 for lifetime in lifetimes)
    assert min(lifetimes) < 92 and max(lifetimes) > 108
