"""A candidate takes the place of the model in use only when it is surely better on what was held back."""

from __future__ import annotations

import random

import numpy as np
import pytest

from jobs.tuning.promotion import LEAST_ITEMS, Results, bootstrap, compare, decide

ITEMS = 400


def results(right: float, cost: float = 1.0, *, seed: int = 1, items: int = ITEMS, name: str = "set") -> Results:
    rng = random.Random(seed)
    return Results(name, [float(rng.random() < right) for _ in range(items)], [cost] * items)


def test_a_better_candidate_is_promoted() -> None:
    verdict = decide([compare(results(0.9, seed=2), results(0.7))])
    assert verdict.promote
    assert verdict.reason == "better than the current model on set"


def test_a_worse_candidate_is_not_promoted() -> None:
    verdict = decide([compare(results(0.7, seed=2), results(0.9))])
    assert not verdict.promote
    assert verdict.reason == "worse than the current model on set"


@pytest.mark.parametrize("seed", range(10))
def test_a_candidate_that_is_as_good_is_not_promoted_by_luck_alone(seed: int) -> None:
    same = results(0.8, seed=seed)
    assert not decide([compare(same, same)]).promote


def test_one_that_is_as_good_and_cheaper_is_promoted_and_one_that_is_dearer_is_not() -> None:
    gain = results(0.8).gain
    cheap, dear = Results("set", gain, [0.5] * ITEMS), Results("set", gain, [1.0] * ITEMS)
    assert decide([compare(cheap, dear)]).promote
    assert not decide([compare(dear, cheap)]).promote
    assert "worse" in decide([compare(dear, cheap)]).reason


def test_cheaper_does_not_make_up_for_worse() -> None:
    assert not decide([compare(results(0.6, 0.1, seed=2), results(0.8, 1.0))]).promote


def test_better_on_one_source_does_not_make_up_for_worse_on_another() -> None:
    better = compare(results(0.9, seed=2), results(0.7))
    worse = compare(results(0.5, seed=2, name="journal"), results(0.9, name="journal"))
    assert decide([better]).promote and not decide([better, worse]).promote


def test_few_items_decide_nothing() -> None:
    few = LEAST_ITEMS - 1
    assert not decide([compare(results(1.0, items=few), results(0.0, items=few))]).promote
    assert not decide([]).promote


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        rng = random.Random(seed)
        found = bootstrap(np.asarray([rng.gauss(0.1, 1.0) for _ in range(200)]))
        covered += found.low <= 0.1 <= found.high
    assert 88 <= covered <= 100


def test_items_that_hang_together_widen_the_interval() -> None:
    """Each difference stands ten times in a row: as much is known as from a tenth of the items."""
    rng = np.random.default_rng(3)
    repeated = np.repeat(rng.normal(0.0, 1.0, 60), 10)
    alone, together = bootstrap(repeated), bootstrap(repeated, block=20)
    assert together.mean == alone.mean
    assert together.high - together.low > 2 * (alone.high - alone.low)
