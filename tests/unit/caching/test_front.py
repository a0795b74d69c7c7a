from __future__ import annotations

import random
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from ossa.caching.front import ENTRY_BYTES, Front


def front(max_entries: int = 100, max_bytes: int = 2**20) -> Front[str]:
    return Front(len, max_entries=max_entries, max_bytes=max_bytes)


def test_it_forgets_what_was_not_used() -> None:
    kept = front(max_entries=2)
    kept.put("a", "1", until=10)
    kept.put("b", "2", until=10)
    assert kept.get("a", now=0) == "1"
    kept.put("c", "3", until=10)
    assert [kept.get(key, now=0) for key in "abc"] == ["1", None, "3"]


def test_what_was_just_put_in_is_there_whatever_was_used_before() -> None:
    kept = front(max_entries=10)
    for number in range(10):
        kept.put(number, "v", until=10)
        for _ in range(5):
            kept.get(number, now=0)
    for number in range(10, 200):
        kept.put(number, "new", until=10)
        assert kept.get(number, now=0) == "new"


def test_many_that_are_used_once_push_out_none_that_is_used_again_and_again() -> None:
    kept = front(max_entries=100)
    for _ in range(3):
        for number in range(50):
            kept.get(number, now=0) or kept.put(number, "often", until=10)
    for number in range(1000, 6000):
        kept.put(number, "once", until=10)
    assert sum(kept.get(number, now=0) is not None for number in range(50)) == 50


def test_who_comes_back_soon_stays() -> None:
    kept = front(max_entries=10)
    for number in range(20):
        kept.put(number, "v", until=10)
    assert kept.get(9, now=0) is None
    kept.put(9, "again", until=10)
    for number in range(100, 110):
        kept.put(number, "once", until=10)
    assert kept.get(9, now=0) == "again"


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 500), st.sampled_from(["put", "get", "drop"])), max_size=80)
)
def test_it_never_holds_more_than_its_room_and_never_another_value(steps: list[tuple[int, int, str]]) -> None:
    kept = front(max_entries=4, max_bytes=3 * ENTRY_BYTES + 600)
    known: dict[int, str] = {}
    for key, size, act in steps:
        if act == "put":
            known[key] = f"{key}" * size
            kept.put(key, known[key], until=10)
        elif act == "drop":
            known.pop(key, None)
            kept.drop(key)
        else:
            assert kept.get(key, now=0) in (None, known.get(key))
        assert len(kept) <= 4 and kept.bytes <= 3 * ENTRY_BYTES + 600
    for key in range(9):
        kept.drop(key)
    assert kept.bytes == len(kept) == 0


def test_a_value_goes_at_its_end_and_none_larger_than_the_room_is_taken() -> None:
    kept = front(max_bytes=1000)
    kept.put("a", "1", until=10)
    assert kept.get("a", now=9.9) == "1"
    assert kept.get("a", now=10) is None
    kept.put("b", "x" * 1001, until=10)
    assert len(kept) == 0


def zipf(count: int, names: int, *, seed: int) -> list[int]:
    weights = [1 / rank for rank in range(1, names + 1)]
    return random.Random(seed).choices(range(names), weights, k=count)


def least_recently_used(trace: list[int], room: int) -> int:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        hits += key in kept
        kept[key] = None
        kept.move_to_end(key)
        if len(kept) > room:
            kept.popitem(last=False)
    return hits


def test_it_hits_more_often_than_one_that_forgets_the_least_recently_used() -> None:
    trace, room = zipf(30_000, 2000, seed=4), 100
    kept = front(max_entries=room)
    hits = 0
    for key in trace:
        if kept.get(key, now=0) is not None:
            hits += 1
        else:
            kept.put(key, "v", until=10)
    assert hits > 1.1 * least_recently_used(trace, room)
