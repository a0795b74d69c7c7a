"""A `Forecaster` of a single pool that is told needs one after the other, as a replayed trace has them."""

from __future__ import annotations

from datetime import datetime, timedelta

from ossa.contracts.scaling import Forecast
from ossa.scaling.forecast.forecaster import STEP_S, Forecaster
from ossa.scaling.forecast.model import ForecastModel


class OnePoolForecaster:
    """Told each minute's mean of turns at once, in order; asked for what follows the last one.

    Args:
        start: when the first minute ends: hours and weekdays are read from it.
        model: of this one pool, or None for the simple experts.
    """

    def __init__(self, start: datetime, model: ForecastModel | None = None) -> None:
        self._name = model.pools[0] if model else "pool"
        self._forecaster = Forecaster((self._name,), model)
        self._next = start

    def observe(self, need: float) -> None:
        self._forecaster.observe(self._next, {self._name: need})
        self._next += timedelta(seconds=STEP_S)

    def forecast(self, pool: str, at: datetime) -> tuple[Forecast, ...]:
        """As if of `pool` and made at `at`."""
        return tuple(one.model_copy(update={"pool": pool, "at": at}) for one in self._forecaster.forecasts())
