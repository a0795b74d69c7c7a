from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.testing.stores.cache import MemoryCache
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.held import Held, decode, encode
from ossa.vortex.exchange.placeholder import Placeholder
from ossa.vortex.exchange.template import Slot, Template

INNER = Placeholder.parse("{STATE:src:s:x}")


def held(text: str = "v", at: float = 0.0) -> Held:
    return Held(Template((text,)), at)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(0, 4e9), st.text("0123456789abcdef"))
def test_what_is_held_comes_back_whole(text: str, at: float, inputs: str) -> None:
    parts = (text, INNER) if text else (INNER,)
    value = Held(Template(parts), at, inputs)
    assert decode(encode(value), nests=True) == value


def test_a_placeholder_from_the_store_is_not_believed_where_none_are_allowed() -> None:
    data = encode(Held(Template((INNER,)), 0.0))
    assert decode(data, nests=False) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'"text"',
        b"null",
        json.dumps({"v": 2, "at": 0, "in": "", "parts": []}).encode(),
        json.dumps({"v": 1, "at": "x", "in": "", "parts": []}).encode(),
        json.dumps({"v": 1, "at": 0, "in": "", "parts": [{"ref": "no"}]}).encode(),
        json.dumps({"v": 1, "at": 0, "in": "", "parts": [1]}).encode(),
        json.dumps({"v": 1, "at": 0, "in": "", "parts": 1}).encode(),
    ],
)
def test_foreign_bytes_are_no_value(data: bytes) -> None:
    assert decode(data, nests=True) is None


def test_an_open_slot_is_not_kept() -> None:
    with pytest.raises(ValueError, match="INPUT"):
        encode(Held(Template((Slot("q"),)), 0.0))


def test_the_age_of_a_value_from_a_clock_far_ahead_is_not_believed() -> None:
    assert held(at=104).within(60, now=100)
    assert not held(at=200).within(60, now=100)
    assert held(at=40.1).within(60, now=100)
    assert not held(at=40).within(60, now=100)


class Hanging(MemoryCache):
    async def get(self, key: str, *, tenant: str) -> bytes | None:
        await asyncio.Event().wait()
        return None


class Timer:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def look(cache: TieredCache) -> Any:
    return await cache.get("k", tenant="t", now=1.0, keep_s=60, nests=False)


async def test_a_store_that_is_down_is_counted_left_alone_for_a_while_and_tried_again() -> None:
    store, timer = MemoryCache(), Timer()
    cache = TieredCache(store, failures=1, rest_s=5, monotonic=timer)
    await cache.put("k", held(), tenant="t", keep_s=60)
    store.go_down()
    assert await look(cache) == held()
    assert await look(TieredCache(store)) is None
    store.come_back()
    timer.now = 4.9
    await look(cache)
    assert cache.counts.cache_degraded == 2
    timer.now = 5.0
    await look(cache)
    assert cache.counts.cache_degraded == 2


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    cache = TieredCache(Hanging(), answer_s=0.01)
    assert await look(cache) is None
    assert cache.counts.cache_degraded == 1


async def test_another_process_finds_what_one_kept_and_what_is_unreadable_is_counted() -> None:
    store = MemoryCache()
    await TieredCache(store).put("k", held("shared"), tenant="t", keep_s=60)
    other = TieredCache(store)
    assert await look(other) == held("shared")
    assert other.near("k", tenant="t", now=1.0) == held("shared")
    assert other.near("k", tenant="u", now=1.0) is None
    await store.set("k", b"{", tenant="t", ttl_s=60)
    third = TieredCache(store)
    assert await look(third) is None
    assert third.counts.cache_unreadable == 1
