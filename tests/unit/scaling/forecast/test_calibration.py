"""The band holds what it promises, and the blend follows who is right."""

import numpy as np
import pytest

from ossa.scaling.forecast.track import TAILS, Blend, Outlook, Track


def coverage(values: np.ndarray) -> float:
    """Of a track whose one expert always says 20, after 200 values."""
    track = Track(np.ones(1), 1)
    inside = []
    for value in values.tolist():
        issued = track.issue(Outlook(np.asarray([20.0]), np.full(len(TAILS), 20.0), 20.0))
        inside.append(issued.prediction.low <= value <= issued.prediction.high)
        track.learn(issued, value)
    return float(np.mean(inside[200:]))


def test_a_band_makes_up_for_the_misses_of_a_jump_though_news_of_them_is_old() -> None:
    """Fifteen steps ahead, in a series of some hundreds of values whose noise grows fourfold on the way."""
    horizon, values = 15, noise(np.repeat([1.0, 4.0], [150, 450]))
    track, issued, inside = Track(np.ones(1), horizon), [], []
    for at, value in enumerate(values.tolist()):
        if at >= horizon:
            made = issued[at - horizon]
            inside.append(made.prediction.low <= value <= made.prediction.high)
            track.learn(made, value)
        issued.append(track.issue(Outlook(np.asarray([20.0]), np.full(len(TAILS), 20.0), 20.0)))
    assert np.mean(inside) == pytest.approx(0.90, abs=0.02)


def noise(scale: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 20 + scale * np.random.default_rng(8).standard_normal(len(scale)))


@pytest.mark.parametrize(
    "scale",
    [np.full(2000, 3.0), np.repeat([1.0, 5.0, 2.0, 6.0], 500), np.linspace(0.5, 8.0, 2000)],
    ids=["even", "jumping", "growing"],
)
def test_nine_of_ten_values_lie_in_the_band(scale: np.ndarray) -> None:
    assert coverage(noise(scale)) == pytest.approx(0.90, abs=0.02)


def test_the_band_of_a_series_of_mostly_nothing_holds_nine_of_ten() -> None:
    rng = np.random.default_rng(9)
    values = np.where(rng.random(3000) < 0.6, 0.0, rng.exponential(30, 3000))
    assert coverage(values) == pytest.approx(0.90, abs=0.02)


def test_a_blend_follows_the_expert_that_is_right_and_changes_its_mind() -> None:
    blend = Blend(np.asarray([0.5]), np.ones(3))
    for right in (0, 2):
        for _ in range(600):
            forecasts = np.asarray([[30.0, 10.0, 50.0]])
            mixed, weights = blend.mix(forecasts), blend.weights
            blend.learn(forecasts, weights, mixed, (30.0, 10.0, 50.0)[right])
        assert blend.mix(forecasts)[0] == pytest.approx((30.0, 10.0, 50.0)[right], abs=3.0)


def test_a_mix_beats_each_expert_when_truth_lies_between() -> None:
    blend = Blend(np.asarray([0.5]), np.ones(2))
    forecasts = np.asarray([[10.0, 30.0]])
    for _ in range(2000):
        blend.learn(forecasts, blend.weights, blend.mix(forecasts), 16.0)
    assert blend.mix(forecasts)[0] == pytest.approx(16.0, abs=2.0)
