"""A forecast model is tried before it is trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lab.forecasting.fitting import BoostingSettings, FitSettings
from lab.forecasting.training import train
from ossa.scaling.forecast.forecaster import try_forecast
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError
from ossa.scaling.forecast.series import Panel


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    values = np.random.default_rng(5).poisson(30, (300, 1)).astype(float)
    quick = FitSettings(BoostingSettings(rounds=4), BoostingSettings(rounds=3))
    return train(Panel(0.0, 60.0, ("a",), values), (1, 5), quick)


def test_a_trained_model_passes(model: ForecastModel) -> None:
    assert try_forecast(model.dump(), source="forecast model 1").version == model.version


@pytest.mark.parametrize("changed", [{"step_s": 30.0}, {"pools": []}, {"trained": {}}, {"trained": "never"}])
def test_a_model_that_cannot_run_is_refused_by_name(model: ForecastModel, changed: dict[str, object]) -> None:
    content = replace(model, card={**model.card, **changed}).dump()
    with pytest.raises(ForecastModelError, match="forecast model 7"):
        try_forecast(content, source="forecast model 7")
