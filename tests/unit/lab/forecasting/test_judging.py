"""Losses of all pools together, a minute each."""

from __future__ import annotations

import numpy as np

from lab.forecasting.fitting import BoostingSettings, FitSettings
from lab.forecasting.judging import SETTLING, judge
from lab.forecasting.training import train
from ossa.scaling.forecast.series import Panel

ROWS, START = 1_200, 900
ROUGH = FitSettings(BoostingSettings(rounds=4), BoostingSettings(rounds=3))


def panel(*, unknown: slice = slice(0, 0)) -> Panel:
    """Two pools that double every half hour and fall back, one of them late: easily seen by who knows clocks."""
    at = np.arange(ROWS)
    values = np.column_stack([10 + 10.0 * (at % 60 >= 30), 40 + 20.0 * ((at - 15) % 60 >= 30)])
    values += np.random.default_rng(1).normal(0, 0.3, values.shape)
    values[unknown] = np.nan
    return Panel(1_772_582_400.0, 60.0, ("community", "security"), values)


def test_a_trained_model_loses_less_than_the_simple_experts_and_persistence() -> None:
    given = panel()
    model = train(given.until(START), (1, 15), FitSettings(), figures_too=False)
    ours, simple = judge(model, given, START, (1, 15)), judge(None, given, START, (1, 15))
    for one, other in zip(ours, simple, strict=True):
        assert one.losses.shape == other.losses.shape == (ROWS - START - SETTLING,)
        assert one.loss < other.loss
        assert one.wape is not None and one.persistence_wape is not None and other.persistence_wape is not None
        assert one.wape < 0.5 * one.persistence_wape
        assert one.persistence_wape == other.persistence_wape
        assert one.coverage_90 is not None and 0.8 < one.coverage_90 <= 1.0
        assert [figures["pool"] for figures in one.pools] == ["community", "security"]


def test_what_is_not_known_is_not_scored() -> None:
    gap = slice(START + 100, START + 150)
    (one,) = judge(None, panel(unknown=gap), START, (5,))
    missing = np.isnan(one.losses)
    assert missing.sum() == 50 and missing[100 - SETTLING : 150 - SETTLING].all()
    assert np.isfinite(one.loss)


def test_pools_without_any_load_are_no_trouble() -> None:
    given = panel()
    quiet = Panel(given.start_s, given.step_s, given.names, np.zeros_like(given.values))
    model = train(quiet.until(START), (1,), ROUGH, figures_too=False)
    (one,) = judge(model, quiet, START, (1,))
    assert one.wape is None and one.loss == 0.0


def test_a_model_of_more_pools_is_judged_on_those_there_are() -> None:
    given = panel()
    model = train(given.until(START), (1,), ROUGH, figures_too=False)
    few = Panel(given.start_s, given.step_s, given.names[1:], given.values[:, 1:])
    (one,) = judge(model, few, START, (1,))
    assert [figures["pool"] for figures in one.pools] == ["security"]
    assert np.isfinite(one.loss)
