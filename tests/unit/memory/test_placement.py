"""Where an item should lie, by its recalls and its idleness; and when its time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.memory import KindRules, MemoryTier, PlacementPolicy
from ossa.contracts.memory_tiers import MemoryRow
from ossa.memory.placement import expiry, is_over, next_tier, wanted_tier
from tests.unit.memory.worlds import START

RULES = KindRules(hot_uses=3, warm_uses=2, within_s=100, hot_idle_s=200, warm_idle_s=1000)


def row(tier: MemoryTier, uses: int = 0, **more: object) -> MemoryRow:
    known = {
        "tenant": "acme", "id": "m", "kind": "fact", "subject": "", "facts": {}, "version": 1, "fence": 1, "digest": "",
        "content": "", "untidy": False, "created_at": START, "updated_at": START, "used_at": START, "expires_at": None,
    }  # fmt: skip
    return MemoryRow.model_validate({**known, "tier": tier, "uses": uses, **more})


@pytest.mark.parametrize(
    ("tier", "uses", "idle_s", "wanted"),
    [
        ("warm", 2, 0, "warm"),
        ("warm", 3, 0, "hot"),
        ("warm", 3, 101, "warm"),
        ("hot", 0, 200, "hot"),
        ("hot", 9, 201, "warm"),
        ("warm", 0, 1000, "warm"),
        ("warm", 9, 1001, "cold"),
        ("cold", 1, 0, "cold"),
        ("cold", 2, 100, "warm"),
        ("cold", 2, 101, "cold"),
    ],
)
def test_recalls_lift_an_item_and_idleness_lets_it_sink(
    tier: MemoryTier, uses: int, idle_s: float, wanted: MemoryTier
) -> None:
    assert wanted_tier(row(tier, uses), RULES, START + timedelta(seconds=idle_s)) == wanted


def test_an_item_goes_from_cold_to_hot_by_way_of_warm() -> None:
    assert wanted_tier(row("cold", 5), RULES, START) == "hot"
    assert next_tier(row("cold", 5), RULES, START) == "warm"


@given(tier=st.sampled_from(("hot", "warm", "cold")), uses=st.integers(0, 10), idle_s=st.floats(0, 1e7))
def test_a_moved_item_is_not_moved_back_at_the_same_moment(tier: MemoryTier, uses: int, idle_s: float) -> None:
    now = START + timedelta(seconds=idle_s)
    seen: list[MemoryTier] = [tier]
    while (to := next_tier(row(seen[-1], uses), RULES, now)) != seen[-1]:
        assert to not in seen
        seen.append(to)


def test_the_shorter_of_an_items_own_time_and_its_kinds_counts() -> None:
    day = timedelta(days=1)
    kept = KindRules(keep_s=day.total_seconds())
    assert expiry(row("warm"), RULES) is None
    assert expiry(row("warm"), kept) == START + day
    assert expiry(row("warm", expires_at=START + day / 2), kept) == START + day / 2
    assert expiry(row("warm", expires_at=START + day * 2), kept) == START + day
    assert is_over(row("warm"), kept, START + day) and not is_over(
        row("warm"), kept, START + day - timedelta(seconds=1)
    )


def test_every_kind_is_in_exactly_one_group() -> None:
    policy = PlacementPolicy(kinds={"*": RULES, "note": KindRules(keep_s=1), "fact": KindRules(keep_s=2)})
    for kind in ("note", "fact", "other"):
        mine = [rules for kinds, rules in policy.groups() if (kind in kinds.names) is not kinds.others]
        assert mine == [policy.rules(kind)]
