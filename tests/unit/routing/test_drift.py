"""A model that sees something else, or does worse than it expects, is noticed; a usual day is not."""

from __future__ import annotations

import random

import pytest

from ossa.routing.drift import Bounds, InputWatch, QualityWatch, reference_of, shares_of, stability_index, verdict

BOUNDS = Bounds(window=400)


def usual(rng: random.Random) -> dict[str, float]:
    return {"characters": rng.lognormvariate(4, 0.6), "unknown words": rng.betavariate(2, 9)}


def strange(rng: random.Random) -> dict[str, float]:
    return {"characters": rng.lognormvariate(7, 0.6), "unknown words": rng.betavariate(9, 2)}


def watch() -> InputWatch:
    rng = random.Random(1)
    return InputWatch(shares_of(usual(rng) for _ in range(2000)), BOUNDS)


def test_equal_shares_have_index_0_and_the_index_is_that_of_the_formula() -> None:
    assert stability_index([0.5, 0.5], [0.5, 0.5]) == 0
    assert stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.274653, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_requests_like_those_of_training_stay_within_bounds(seed: int) -> None:
    found, rng = watch(), random.Random(seed)
    for _ in range(1000):
        found.see(usual(rng))
        assert verdict(found.drift(), 0.0, BOUNDS, aside=False) == ""


def test_other_requests_are_noticed_within_a_window_and_forgotten_within_two() -> None:
    found, rng = watch(), random.Random(3)
    for _ in range(BOUNDS.window):
        found.see(strange(rng))
    assert "stability index of characters" in verdict(found.drift(), 0.0, BOUNDS, aside=False)
    for _ in range(2 * BOUNDS.window):
        found.see(usual(rng))
    assert verdict(found.drift(), 0.0, BOUNDS, aside=True) == ""


def test_few_requests_are_no_evidence() -> None:
    found, rng = watch(), random.Random(3)
    for _ in range(BOUNDS.window // 2 - 1):
        found.see(strange(rng))
    assert found.drift() == {}


def test_what_a_card_says_of_other_bins_is_not_watched() -> None:
    assert reference_of({}) == reference_of({"reference": {"characters": [1.0], "weather": [0.5, 0.5]}}) == {}
    shares = shares_of([{"characters": 20.0}])
    assert reference_of({"reference": shares}) == shares


@pytest.mark.parametrize("seed", range(20))
def test_answers_as_good_as_expected_raise_no_alarm_and_worse_ones_do(seed: int) -> None:
    rng, found = random.Random(seed), QualityWatch()
    for _ in range(3000):
        found = found.see(0.8, float(rng.random() < 0.8))
        assert found.alarm < 1
    for _ in range(200):
        found = found.see(0.8, float(rng.random() < 0.4))
    assert found.alarm > 1


def test_a_model_that_was_set_aside_comes_back_after_good_answers_alone() -> None:
    found = QualityWatch()
    for _ in range(1000):
        found = found.see(0.9, 0.0)
    assert verdict({}, found.alarm, Bounds(), aside=False)
    answers = 0
    while verdict({}, found.alarm, Bounds(), aside=True):
        found, answers = found.see(0.9, 0.95), answers + 1
    assert answers <= 1.5 * 20 / 0.15 + 1
    assert verdict({}, 0.75, Bounds(), aside=True) and not verdict({}, 0.75, Bounds(), aside=False)
