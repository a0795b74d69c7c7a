from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.testing.stores.tiers import MemoryCache
from ossa.vortex.exchange.cache import Held, TieredCache


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 4e9))
def test_what_is_held_comes_back_whole(text: str, at: float) -> None:
    assert Held.decode(Held(text, at).encode()) == Held(text, at)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'"text"',
        b"null",
        json.dumps({"v": 1, "at": 0.0, "text": ""}).encode(),
        json.dumps({"v": 2, "at": "x", "text": ""}).encode(),
        json.dumps({"v": 2, "at": 0.0, "text": {"ref": "{STATE:src:s:x}"}}).encode(),
        json.dumps({"v": 2, "at": 0.0}).encode(),
    ],
)
def test_foreign_bytes_are_no_value(data: bytes) -> None:
    assert Held.decode(data) is None


def test_the_age_of_a_value_from_a_clock_far_ahead_is_not_believed() -> None:
    assert Held("v", at=104.0).within(60, now=100)
    assert not Held("v", at=200.0).within(60, now=100)
    assert Held("v", at=40.1).within(60, now=100)
    assert not Held("v", at=40.0).within(60, now=100)


async def test_another_process_has_what_one_kept_in_its_front_too_from_then_on() -> None:
    store = MemoryCache()
    await TieredCache(store).put("k", Held("shared", 0.0), tenant="t", lifetime_s=60)
    cache = TieredCache(store)
    assert cache.near("k", tenant="t", now=1.0) is None
    assert await cache.get("k", tenant="t", now=1.0, lifetime_s=60) == Held("shared", 0.0)
    assert cache.near("k", tenant="t", now=59.9) == Held("shared", 0.0)
    assert cache.near("k", tenant="u", now=1.0) is None
    assert cache.near("k", tenant="t", now=60.0) is None
    assert (cache.shared.front_hits, cache.shared.shared_hits) == (1, 1)


async def test_what_the_store_has_too_old_or_unreadable_is_no_value() -> None:
    store = MemoryCache()
    cache = TieredCache(store)
    await store.set("k", Held("old", 0.0).encode(), tenant="t", ttl_s=600)
    await store.set("odd", b"{", tenant="t", ttl_s=600)
    for key in ("k", "odd"):
        assert await cache.get(key, tenant="t", now=60.0, lifetime_s=60) is None
        assert cache.near(key, tenant="t", now=1.0) is None


async def test_a_store_that_is_down_raises_nothing_and_is_counted() -> None:
    store = MemoryCache()
    store.go_down()
    cache = TieredCache(store)
    await cache.put("k", Held("v", 0.0), tenant="t", lifetime_s=60)
    assert await cache.get("k", tenant="t", now=1.0, lifetime_s=60) is None
    assert cache.near("k", tenant="t", now=1.0) == Held("v", 0.0)
    assert cache.shared.failed == 2
