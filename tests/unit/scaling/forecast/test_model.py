"""A model's file: the same forecasts without XGBoost, the same bytes for the same data, damage noticed."""

import numpy as np
import pytest
import xgboost

from lab.forecasting.fitting import BoostingSettings, FitSettings, exported
from lab.forecasting.training import train
from ossa.scaling.forecast.experts import prepared, say
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError, load
from ossa.scaling.forecast.series import Panel, SeriesError

QUICK = FitSettings(BoostingSettings(rounds=4), BoostingSettings(rounds=3))


def panel(rows: int = 300) -> Panel:
    values = np.random.default_rng(5).poisson(30, (rows, 2)).astype(float)
    return Panel(0.0, 60.0, ("a", "b"), values)


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return train(panel(), (1, 5), QUICK)


def test_exported_trees_say_what_xgboost_says() -> None:
    rng = np.random.default_rng(6)
    table = rng.normal(size=(400, 6))
    table[rng.random(table.shape) < 0.1] = np.nan
    target = np.nan_to_num(table[:, 0]) + rng.normal(size=400)
    options = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9], "max_depth": 5, "nthread": 1}
    booster = xgboost.train(options, xgboost.QuantileDMatrix(table, target), 20)
    ours = exported(booster.save_raw("json")).predict(table)
    np.testing.assert_allclose(ours, booster.predict(xgboost.DMatrix(table)), atol=1e-4)


def test_a_file_read_again_forecasts_the_same(model: ForecastModel) -> None:
    read = load(model.dump())
    given = prepared(panel(), 0, 5)
    one, other = (say(given, each.fitted["a", 5], slice(200, 300)) for each in (model, read))
    np.testing.assert_array_equal(one.centres, other.centres)
    np.testing.assert_array_equal(one.tails, other.tails)
    assert read.version == model.version
    assert read.card["held_out"] == model.card["held_out"]


def test_the_same_data_give_the_same_bytes(model: ForecastModel) -> None:
    assert train(panel(), (1, 5), QUICK).dump() == model.dump()


def test_the_card_has_held_out_figures_of_each_pool_and_horizon(model: ForecastModel) -> None:
    found = {(one["pool"], one["horizon"]): one for one in model.card["held_out"]}
    assert set(found) == set(model.fitted)
    assert all(0 < one["wape"] < 1 for one in found.values())


@pytest.mark.parametrize("cut", [0, 10, 3000])
def test_a_damaged_file_is_refused_by_name(model: ForecastModel, cut: int) -> None:
    with pytest.raises(ForecastModelError, match=r"pools\.npz"):
        load(model.dump()[:cut], source="pools.npz")


def test_too_little_to_learn_from_is_said() -> None:
    with pytest.raises(SeriesError, match="at least"):
        train(panel(30), (1,), QUICK)
