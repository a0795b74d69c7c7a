"""A forecast model's file, tried before it is trusted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ossa.scaling.forecast.forecaster import STEP_S, Forecaster
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError, load

_NEEDS = (0.0, 1.0, 40.0, float("nan"), 1e6, 0.0)
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def try_forecast(content: bytes, *, source: str) -> ForecastModel:
    """A model that forecasts finite values after quiet, busy, unknown and enormous minutes.

    Takes milliseconds of CPU: call it in a thread. Raises `ForecastModelError`.
    """
    model = load(content, source=source)
    try:
        with np.errstate(all="ignore"):
            forecaster = Forecaster(model.pools, model)
            for step, needs in enumerate(_NEEDS):
                forecaster.observe(_BEGIN + timedelta(seconds=STEP_S * step), dict.fromkeys(model.pools, needs))
                said = [list(forecast.quantiles.values()) for forecast in forecaster.forecasts()]
                if not said or not np.isfinite(said).all():
                    raise ValueError("it forecasts what is no number")
    except Exception as error:  # what a stranger's arrays and card lead to cannot be listed
        raise ForecastModelError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model
