"""Sources of forecasts to choose from: the simulator's own, and the one that production runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from lab.forecasting.training import train
from lab.simulator import Trace
from lab.simulator.forecaster import AHEAD_S, DAY, Forecaster, SmoothingForecaster
from lab.simulator.run import POOL
from lab.simulator.trace import MINUTE_S
from ossa.contracts.scaling import Forecast
from ossa.scaling.forecast.forecaster import Forecaster as Production
from ossa.scaling.forecast.series import Panel, SeriesError

Maker = Callable[[Trace], Forecaster]

HORIZONS = (60, 180, 300, 900)


class Untrained:
    """Production's forecaster without a trained model: its experts, which learn as they go.

    It wants a time with each need: minutes are counted on from the first one that it is told. About 10 to 50 ms a
    minute that is played or learnt, so for short series.
    """

    warm_up = 8 * DAY

    def __init__(self, trace: Trace) -> None:
        self._at = trace.start - timedelta(minutes=min(self.warm_up, len(trace.past_by_minute())))
        self._inner = Production((POOL,), horizons_s=AHEAD_S)

    def observe(self, need: float) -> None:
        self._at += timedelta(minutes=1)
        self._inner.observe(self._at, {POOL: need})

    def forecast(self, pool: str, at: datetime) -> Sequence[Forecast]:
        return self._inner.forecasts()


class Trained:
    """Production's forecaster with a model fitted on what lies before the trace, as a fleet trains one.

    Where that is too short to fit anything, the experts that need no training stand alone. Blends and bands learn from
    the last `warm_up` minutes of the past; of the rest only lags are taken. Some 30 ms a minute that is played.
    """

    warm_up = 360

    def __init__(self, trace: Trace) -> None:
        past = trace.past_by_minute().max(axis=1)
        begin = trace.start - timedelta(minutes=len(past))
        panel = Panel(begin.timestamp() + MINUTE_S, MINUTE_S, (POOL,), past[:, None])
        steps = tuple(round(horizon / MINUTE_S) for horizon in HORIZONS)
        try:
            model = train(panel, steps, figures_too=False)
        except SeriesError:
            model = None
        self._inner = Production((POOL,), model, horizons_s=HORIZONS)
        times = [begin + timedelta(minutes=minute + 1) for minute in range(len(past))]
        told = min(len(past), self.warm_up)
        self._inner.remember([(at, {POOL: need}) for at, need in zip(times, past, strict=True)][: len(past) - told])
        self._at = trace.start - timedelta(minutes=told)

    def observe(self, need: float) -> None:
        self._at += timedelta(minutes=1)
        self._inner.observe(self._at, {POOL: need})

    def forecast(self, pool: str, at: datetime) -> Sequence[Forecast]:
        return self._inner.forecasts()


def smoothing(_: Trace) -> Forecaster:
    return SmoothingForecaster()


FORECASTERS: dict[str, Maker] = {"smoothing": smoothing, "untrained": Untrained, "trained": Trained}
