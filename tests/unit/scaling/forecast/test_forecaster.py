"""The forecast as it runs, on what production throws at it."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lab.forecasting.fitting import BoostingSettings, FitSettings
from lab.forecasting.training import train
from ossa.contracts.scaling import HORIZONS_S, QUANTILES, Forecast
from ossa.scaling.forecast.forecaster import Forecaster
from ossa.scaling.forecast.model import ForecastModel
from ossa.scaling.forecast.series import Panel

POOLS = ("foundation", "security")
START = datetime(2026, 3, 2, tzinfo=UTC)
QUICK = FitSettings(BoostingSettings(rounds=15), BoostingSettings(rounds=5))


def needs(step: int) -> dict[str, float]:
    wave = 20 + 10 * math.sin(step / 10)
    return {"foundation": wave, "security": 2 * wave}


def told(forecaster: Forecaster, rows: Iterable[dict[str, float]], first: int = 0) -> None:
    for step, row in enumerate(rows, start=first):
        forecaster.observe(START + timedelta(minutes=step), row)


def sane(forecasts: tuple[Forecast, ...]) -> None:
    assert len(forecasts) == len(POOLS) * len(HORIZONS_S)
    for one in forecasts:
        values = [one.quantiles[level] for level in QUANTILES]
        assert all(math.isfinite(value) and value >= 0 for value in values)
        assert values == sorted(values)


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    values = np.asarray([[needs(step)[pool] for pool in POOLS] for step in range(600)])
    return train(Panel(START.timestamp() - 600 * 60, 60.0, POOLS, values), (1, 5, 15), QUICK)


def test_nothing_is_forecast_before_anything_was_seen() -> None:
    assert Forecaster(POOLS).forecasts() == ()


def test_a_wave_is_forecast_ahead_and_trusted(model: ForecastModel) -> None:
    forecaster = Forecaster(POOLS, model)
    told(forecaster, map(needs, range(600, 680)), 600)
    sane(forecaster.forecasts())
    for one in forecaster.forecasts():
        actual = needs(679 + one.horizon_s // 60)[one.pool]
        assert one.trusted
        assert one.model == model.version
        assert one.quantiles[0.5] == pytest.approx(actual, rel=0.3)


def test_of_each_minute_between_the_horizons_the_last_word_is_kept(model: ForecastModel) -> None:
    forecaster = Forecaster(POOLS, model)
    issued = {}
    for step in range(600, 640):
        told(forecaster, [needs(step)], step)
        issued |= {(one.pool, one.at, one.horizon_s): one for one in forecaster.forecasts()}
    earlier = forecaster.earlier()
    last = START + timedelta(minutes=639)
    ahead = [(one.at + timedelta(seconds=one.horizon_s) - last).total_seconds() / 60 for one in earlier]
    assert sorted(ahead) == sorted(2 * [2, 3, 4, *range(6, 15)])
    assert {one.horizon_s for one, minutes in zip(earlier, ahead, strict=True) if minutes < 5} == {300}
    for one in earlier:
        assert one.quantiles == issued[one.pool, one.at, one.horizon_s].quantiles


def test_after_one_minute_nothing_was_said_earlier() -> None:
    forecaster = Forecaster(POOLS)
    assert forecaster.earlier() == ()
    told(forecaster, [needs(0)])
    assert forecaster.earlier() == ()


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"foundation": math.nan, "security": math.inf},
        {"foundation": -5.0, "security": -0.1},
        {"foundation": 0.0, "security": 0.0},
        {"foundation": 20.0, "security": 20.0},
        {"foundation": 3000.0, "security": 6000.0},
        {"foundation": 1e15, "security": 1e15},
    ],
    ids=["missing", "not a number", "negative", "silence", "constant", "a hundredfold", "absurd"],
)
@pytest.mark.parametrize("trained", [True, False])
def test_whatever_is_told_forecasts_are_numbers(model: ForecastModel, strange: dict[str, float], trained: bool) -> None:
    forecaster = Forecaster(POOLS, model if trained else None)
    told(forecaster, map(needs, range(20)))
    told(forecaster, [strange] * 17, 20)
    sane(forecaster.forecasts())
    told(forecaster, map(needs, range(37, 42)), 37)
    sane(forecaster.forecasts())


def test_it_starts_with_values_that_are_not_known() -> None:
    forecaster = Forecaster(POOLS)
    told(forecaster, [{}] * 20)
    sane(forecaster.forecasts())


def test_a_model_gone_wild_is_blended_away_or_switched_off_and_never_trusted_while_wrong(model: ForecastModel) -> None:
    fitted = {
        key: replace(one, mean=100 * one.mean, relative=replace(one.relative, bias=one.relative.bias + 100.0))
        for key, one in model.fitted.items()
    }
    forecaster = Forecaster(POOLS, ForecastModel(model.card, fitted))
    for step in range(100):
        forecaster.observe(START + timedelta(minutes=step), needs(step))
        for one in forecaster.forecasts():
            if one.trusted:
                assert one.quantiles[0.5] < 5 * needs(step + one.horizon_s // 60)[one.pool]


def test_a_model_that_says_not_a_number_leaves_the_simple_experts(model: ForecastModel) -> None:
    fitted = {
        key: replace(one, mean=math.nan, tails=replace(one.tails, bias=one.tails.bias * math.nan))
        for key, one in model.fitted.items()
    }
    forecaster = Forecaster(POOLS, ForecastModel(model.card, fitted))
    told(forecaster, map(needs, range(25)))
    sane(forecaster.forecasts())


def test_a_step_told_twice_counts_once() -> None:
    once, twice = Forecaster(POOLS), Forecaster(POOLS)
    told(once, map(needs, range(20)))
    for step in range(20):
        for _ in range(2):
            twice.observe(START + timedelta(minutes=step), needs(step))
    assert once.forecasts() == twice.forecasts()


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400), timedelta(hours=-2), timedelta(minutes=9)])
def test_a_clock_that_jumps_leaves_it_working(jump: timedelta) -> None:
    forecaster = Forecaster(POOLS)
    told(forecaster, map(needs, range(20)))
    later = START + timedelta(minutes=20) + jump
    for step in range(17):
        forecaster.observe(later + timedelta(minutes=step), needs(step))
    sane(forecaster.forecasts())
    assert {one.at for one in forecaster.forecasts()} == {later + timedelta(minutes=16)}


def test_a_model_of_other_pools_is_refused(model: ForecastModel) -> None:
    with pytest.raises(ValueError, match="community"):
        Forecaster(("community",), model)
