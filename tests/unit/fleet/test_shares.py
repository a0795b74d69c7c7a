from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.fleet import POOL_WEIGHTS
from ossa.fleet.operations import ratio


def test_two_hundred_agents_are_the_phase_as_written() -> None:
    assert ratio(200, POOL_WEIGHTS) == POOL_WEIGHTS


def test_five_agents_are_one_a_pool() -> None:
    assert set(ratio(5, POOL_WEIGHTS).values()) == {1}


def test_fewer_agents_than_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot fill"):
        ratio(4, POOL_WEIGHTS)


@given(st.integers(5, 10_000))
def test_parts_sum_to_the_target_and_keep_the_order_of_the_weights(target: int) -> None:
    parts = ratio(target, POOL_WEIGHTS)
    assert sum(parts.values()) == target
    assert min(parts.values()) >= 1
    by_weight = sorted(POOL_WEIGHTS, key=lambda pool: POOL_WEIGHTS[pool])
    for small, large in pairwise(by_weight):
        assert parts[small] <= parts[large] + 1
    assert all(abs(parts[pool] - target * weight / 200) < 3 for pool, weight in POOL_WEIGHTS.items())
