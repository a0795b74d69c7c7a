"""Sources of forecasts to choose from: the simulator's own, and the one that production runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ossa.contracts.scaling import Forecast
from ossa.scaling.simulator import Trace
from ossa.scaling.simulator.forecaster import AHEAD_S, Forecaster, SmoothingForecaster
from ossa.scaling.simulator.policies.ours import LEARNT
from ossa.scaling.simulator.run import POOL

Maker = Callable[[Trace], Forecaster]


class Untrained:
    """Production's forecaster without a trained model: its experts, which learn as they go.

    It wants a time with each need: minutes are counted on from the first one that it is told. About 10 to 50 ms a
    minute that is played or learnt, so for short series.
    """

    def __init__(self, trace: Trace) -> None:
        told = min(LEARNT, len(trace.past_by_minute()))
        self._at = trace.start - timedelta(minutes=told)
        from ossa.scaling.forecast.forecaster import Forecaster as Production

        self._inner = Production((POOL,), horizons_s=AHEAD_S)

    def observe(self, need: float) -> None:
        self._at += timedelta(minutes=1)
        self._inner.observe(self._at, {POOL: need})

    def forecast(self, pool: str, at: datetime) -> Sequence[Forecast]:
        return self._inner.forecasts()


def smoothing(_: Trace) -> Forecaster:
    return SmoothingForecaster()


FORECASTERS: dict[str, Maker] = {"smoothing": smoothing, "untrained": Untrained}
