"""The forecast as it runs: told each step what every pool needed, asked for what comes.

One process, no IO, no clock of its own. Without a model, or for a pool the model does not know, the simple experts
stand alone; blends, bands and rolling errors learn from each step either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import HORIZONS_S, QUANTILES, Forecast
from ossa.scaling.forecast.experts import Prepared, prepared_all, say
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError, Key, load
from ossa.scaling.forecast.rolling_error import ErrorBounds, RollingError
from ossa.scaling.forecast.series import Panel
from ossa.scaling.forecast.track import Issued, Outlook, Track

Floats = NDArray[np.float64]

STEP_S = 60.0
KEPT_STEPS = 10_080 + 128
"""A week and a little, so that the same hour of last week is there."""
MOST_GAP = 60
"""A longer silence, or a clock set back by more than a step, begins a new history."""


TRIAL_NEEDS = (0.0, 1.0, 40.0, float("nan"), 1e6, 0.0)
TRIAL_START = datetime(2026, 1, 1, tzinfo=UTC)


class Forecaster:
    """Args:
    pools: whose needs are told, in this order; those of the model when there is one.
    model: what was trained, or None.
    step_s: seconds of a step; the model's own when there is one.
    """

    def __init__(
        self,
        pools: tuple[str, ...],
        model: ForecastModel | None = None,
        *,
        step_s: float = STEP_S,
        horizons_s: tuple[int, ...] = HORIZONS_S,
        bounds: ErrorBounds | None = None,
    ) -> None:
        self._pools = pools
        self._step_s = step_s
        self._horizons = {horizon_s: max(1, round(horizon_s / step_s)) for horizon_s in horizons_s}
        self.errors = {(pool, horizon): RollingError(bounds) for pool in pools for horizon in horizons_s}
        """By pool and horizon in seconds: what is published, and what switches a forecast off."""
        self._last: int | None = None
        self._history = np.empty((0, len(pools)))
        self._tracks: dict[Key, Track] = {}
        self._issued: dict[Key, deque[tuple[Issued, float]]] = {}
        self._model: ForecastModel | None = None
        self._version = "simple"
        self._forget()
        if model is not None:
            self.use(model)

    @property
    def version(self) -> str:
        return self._version

    def use(self, model: ForecastModel) -> None:
        """Go on with another model: history, blends and bands stay. One made for other pools or steps is not used.

        Raises:
            ValueError: the model's pools or step are not these.
        """
        if model.pools != self._pools or model.step_s != self._step_s:
            raise ValueError(
                f"The model is of pools {model.pools} each {model.step_s} s; needed: {self._pools}, {self._step_s} s."
            )
        self._model = model
        self._version = model.version

    def remember(self, steps: Sequence[tuple[datetime, Mapping[str, float]]]) -> None:
        """What was before the first `observe`, oldest first: lags and seasons look back on it, nothing is learned."""
        rows = {int(at.timestamp() // self._step_s): needs for at, needs in steps}
        if not rows:
            return
        last = max(rows)
        first = max(min(rows), last - KEPT_STEPS + 1)
        known = [[_usable(rows.get(step, {}).get(pool)) for pool in self._pools] for step in range(first, last + 1)]
        self._history = np.asarray(known)
        self._last = last

    def observe(self, at: datetime, needs: Mapping[str, float]) -> None:
        """Mean turns at once of the step that ended `at`. What is missing, not finite or below 0 counts as not known.

        A step told twice is taken once; steps left out are not known; see `MOST_GAP`.
        """
        step = int(at.timestamp() // self._step_s)
        row = np.asarray([_usable(needs.get(pool)) for pool in self._pools])
        if self._last is not None:
            ahead = step - self._last
            if ahead == 0 or ahead == -1:
                return
            if ahead < 0 or ahead > MOST_GAP:
                self._forget()
            else:
                for missing in range(self._last + 1, step):
                    self._take(missing, np.full(len(self._pools), np.nan))
        self._take(step, row)

    def forecasts(self) -> tuple[Forecast, ...]:
        """Of every pool and horizon, made at the last step; empty before the first one."""
        if self._last is None:
            return ()
        return tuple(self._said(pool, horizon_s, 0) for pool in self._pools for horizon_s in self._horizons)

    def earlier(self) -> tuple[Forecast, ...]:
        """Of every step between the horizons, what was said of it last: by the next longer horizon, a while ago."""
        between = [
            (horizon_s, ago)
            for shorter, (horizon_s, steps) in zip((0, *self._horizons.values()), self._horizons.items(), strict=False)
            for ago in range(1, steps - shorter)
        ]
        return tuple(
            self._said(pool, horizon_s, ago)
            for pool in self._pools
            for horizon_s, ago in between
            if ago < len(self._issued[pool, horizon_s])
        )

    def _said(self, pool: str, horizon_s: int, ago: int) -> Forecast:
        """What was forecast `ago` steps before the last one. There is a last one, and there was that one."""
        assert self._last is not None
        issued, _ = self._issued[pool, horizon_s][-1 - ago]
        return Forecast(
            pool=pool,
            at=datetime.fromtimestamp((self._last - ago) * self._step_s, UTC),
            horizon_s=horizon_s,
            quantiles=dict(zip(QUANTILES, map(float, issued.prediction.quantiles), strict=True)),
            model=self._version,
            trusted=self.errors[pool, horizon_s].trusted,
        )

    def _forget(self) -> None:
        """History and what waits for its value; what was learned about the pools stays."""
        self._last = None
        self._history = np.empty((0, len(self._pools)))
        for pool in self._pools:
            for horizon_s, steps in self._horizons.items():
                self._issued[pool, horizon_s] = deque(maxlen=steps)

    def _take(self, step: int, row: Floats) -> None:
        self._last = step
        self._history = np.concatenate([self._history[-(KEPT_STEPS - 1) :], row[None, :]])
        start_s = (step - len(self._history) + 1) * self._step_s
        panel = Panel(start_s, self._step_s, self._pools, self._history)
        for column, pool in enumerate(self._pools):
            prepared = prepared_all(panel, column, tuple(self._horizons.values()), 1, tables=self._model is not None)
            for given, horizon_s in zip(prepared, self._horizons, strict=True):
                self._learn((pool, horizon_s), given.horizon, float(row[column]))
                self._issue((pool, horizon_s), given)

    def _learn(self, key: Key, steps: int, actual: float) -> None:
        issued = self._issued[key]
        if len(issued) < steps:
            return
        made, before = issued[0]
        self.errors[key].observe(made.prediction.median, before, actual)
        self._tracks[key].learn(made, actual)

    def _issue(self, key: Key, given: Prepared) -> None:
        fitted = self._model.fitted.get((key[0], given.horizon)) if self._model else None
        said = say(given, fitted, slice(0, 1))
        if key not in self._tracks:
            rows = int(self._model.card["trained"]["rows"]) if self._model else 0
            self._tracks[key] = Track(given.prior(rows), given.horizon)
        outlook = Outlook(said.centres[0], said.tails[0], float(said.scale[0]))
        self._issued[key].append((self._tracks[key].issue(outlook), float(given.simple[0, 0])))


def _usable(value: float | None) -> float:
    return float(value) if value is not None and np.isfinite(value) and value >= 0 else float("nan")


def try_forecast(content: bytes, *, source: str) -> ForecastModel:
    """A model that forecasts finite values after quiet, busy, unknown and enormous minutes.

    Takes milliseconds of CPU: call it in a thread. Raises `ForecastModelError`.
    """
    model = load(content, source=source)
    try:
        with np.errstate(all="ignore"):
            forecaster = Forecaster(model.pools, model)
            for step, needs in enumerate(TRIAL_NEEDS):
                forecaster.observe(TRIAL_START + timedelta(seconds=STEP_S * step), dict.fromkeys(model.pools, needs))
                said = [list(forecast.quantiles.values()) for forecast in forecaster.forecasts()]
                if not said or not np.isfinite(said).all():
                    raise ValueError("it forecasts what is no number")
    except Exception as error:  # what a stranger's arrays and card lead to cannot be listed
        raise ForecastModelError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model
