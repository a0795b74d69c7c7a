"""Nothing of the future reaches a forecast."""

import numpy as np
import pytest

from benchmarks.forecasting.origins import origins
from benchmarks.forecasting.ours import replayed
from lab.forecasting.fitting import BoostingSettings, FitSettings, fit
from ossa.scaling.forecast.experts import prepared, prepared_all, say
from ossa.scaling.forecast.series import Panel

QUICK = FitSettings(BoostingSettings(rounds=5), BoostingSettings(rounds=3))
ROWS, NOW = 500, 400


def load(rows: int = ROWS) -> np.ndarray:
    rng = np.random.default_rng(3)
    hour = 20 + 10 * np.sin(np.arange(rows) / 9.5)
    return rng.poisson(np.column_stack([hour, 3 * hour])).astype(float)


def panel(values: np.ndarray) -> Panel:
    return Panel(0.0, 60.0, ("a", "b"), values)


def another_future() -> np.ndarray:
    values = load()
    values[NOW:] = 1e6 * np.random.default_rng(4).random((ROWS - NOW, 2))
    values[NOW + 3] = np.nan
    return values


@pytest.mark.parametrize("horizon", [1, 5, 15])
def test_changing_the_future_changes_no_feature(horizon: int) -> None:
    one, other = (prepared(panel(values), 0, horizon) for values in (load(), another_future()))
    np.testing.assert_array_equal(one.features.table[:NOW], other.features.table[:NOW])
    np.testing.assert_array_equal(one.features.scale[:NOW], other.features.scale[:NOW])
    np.testing.assert_array_equal(one.simple[:NOW], other.simple[:NOW])


@pytest.mark.parametrize("horizon", [1, 15])
def test_a_fit_at_a_row_knows_only_what_lies_before_it(horizon: int) -> None:
    said = []
    for values in (load(), another_future()):
        given = prepared(panel(values), 0, horizon)
        said.append(say(given, fit(given, NOW, QUICK), slice(NOW - 50, NOW)))
    np.testing.assert_array_equal(said[0].centres, said[1].centres)
    np.testing.assert_array_equal(said[0].tails, said[1].tails)


def test_forecasts_made_before_a_change_are_the_same_whatever_comes() -> None:
    """The whole replay of `benchmarks.forecast`, refits included."""
    at = origins(ROWS)
    one, other = (replayed(panel(values), 5, at, QUICK) for values in (load(), another_future()))
    before = NOW - at.start
    np.testing.assert_array_equal(one.quantiles[:before], other.quantiles[:before])
    np.testing.assert_array_equal(one.high[:before], other.high[:before])
    assert not np.array_equal(one.quantiles[before + 1], other.quantiles[before + 1])


def test_the_last_row_alone_is_the_last_row_of_all() -> None:
    given = panel(load(900))
    for alone, every in zip(prepared_all(given, 0, (1, 15), 1), prepared_all(given, 0, (1, 15)), strict=True):
        np.testing.assert_allclose(alone.features.table[0], every.features.table[-1], atol=1e-5)
        np.testing.assert_allclose(alone.simple[0], every.simple[-1], atol=1e-5)
