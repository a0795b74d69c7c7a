"""Forecasts as they run: told each step what every pool needed, asked for what comes.

One process, no IO, no clock of its own. Without a model, or for a pool the model does not know, the simple experts
stand alone; blends, bands and rolling errors learn from each step either way.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.scaling import HORIZONS_S, QUANTILES, Forecast
from ossa.scaling.forecast.experts import Prepared, prepared_all, say
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError, Key, load
from ossa.scaling.forecast.series import Panel
from ossa.scaling.forecast.track import Issued, Outlook, Track


@dataclass(frozen=True)
class ErrorBounds:
    """`off_above` and `on_below` are of `RollingError.against_persistence`.

    Attributes:
        fade: what is left of an error after one more observation.
        slack: share of the load that an error may have without counting against the forecast.
        fewest: observations before a forecast is trusted, and good ones in a row before it is trusted again.
    """

    off_above: float = 1.5
    on_below: float = 1.1
    fade: float = 0.95
    slack: float = 0.05
    fewest: int = 10


class RollingError:
    """Faded sums of absolute errors of the forecast, and of persistence ("as much as now").

    The forecast is switched off as soon as it is not a number or is worse than persistence by the bound, and on again
    after `fewest` observations in a row below the lower bound, which prevents flapping. It is measured while off.
    """

    def __init__(self, bounds: ErrorBounds | None = None) -> None:
        self._bounds = bounds or ErrorBounds()
        self._wrong = self._persistence = self._load = 0.0
        self._seen = 0
        self._good = 0
        self._off = False
        self.switched_off = 0
        """How often the forecast was switched off."""

    @property
    def trusted(self) -> bool:
        return not self._off and self._seen >= self._bounds.fewest

    @property
    def wape(self) -> float | None:
        """Faded sum of absolute errors over that of loads; None without load."""
        return self._wrong / self._load if self._load > 0 else None

    @property
    def against_persistence(self) -> float:
        """1 is as wrong as persistence; infinite if only the forecast was ever wrong and there was no load."""
        spare = self._bounds.slack * self._load
        floor = self._persistence + spare
        if floor > 0:
            return (self._wrong + spare) / floor
        return 1.0 if self._wrong == 0 else math.inf

    def observe(self, forecast: float, persistence: float, actual: float) -> None:
        """Takes in a forecast, the value at its origin and the value that came. An unknown one is skipped."""
        if not math.isfinite(actual):
            return
        if not math.isfinite(forecast) or forecast < 0:
            self._switch_off()
            return
        fade = self._bounds.fade
        before = persistence if math.isfinite(persistence) else actual
        self._wrong = fade * self._wrong + abs(actual - forecast)
        self._persistence = fade * self._persistence + abs(actual - before)
        self._load = fade * self._load + abs(actual)
        self._seen += 1
        ratio = self.against_persistence
        self._good = self._good + 1 if ratio < self._bounds.on_below else 0
        if ratio > self._bounds.off_above:
            self._switch_off()
        elif self._off and self._good >= self._bounds.fewest:
            self._off = False

    def _switch_off(self) -> None:
        self.switched_off += not self._off
        self._off = True
        self._good = 0


Floats = NDArray[np.float64]

STEP_S = 60.0
KEPT_STEPS = 10_080 + 128
"""A week and a little, so that the same hour of last week is there."""
MOST_GAP = 60
"""A longer silence, or a clock set back by more than a step, begins a new history."""


TRIAL_NEEDS = (0.0, 1.0, 40.0, float("nan"), 1e6, 0.0)
TRIAL_START = datetime(2026, 1, 1, tzinfo=UTC)


class Forecaster:
    """Forecasts the needs of several pools.

    Args:
        pools: in this order; those of the model when there is one.
        model: a trained model, or None.
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
        """Errors by pool and horizon in seconds. They are published, and switch a forecast off."""
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
        """Continues with another model: history, blends and bands stay. One for other pools or steps is refused.

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
        """Takes in what was before the first `observe`, oldest first, for lags and seasons. Nothing is learned."""
        rows = {int(at.timestamp() // self._step_s): needs for at, needs in steps}
        if not rows:
            return
        last = max(rows)
        first = max(min(rows), last - KEPT_STEPS + 1)
        values = [[_usable(rows.get(step, {}).get(pool)) for pool in self._pools] for step in range(first, last + 1)]
        self._history = np.asarray(values)
        self._last = last

    def observe(self, at: datetime, needs: Mapping[str, float]) -> None:
        """Takes in the mean turns at the same time of the step that ended `at`.

        Missing, non-finite and negative values count as unknown, and so do steps left out; see `MOST_GAP`. A step is
        taken once.
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
        """Returns the last step's forecasts of every pool and horizon; none before the first step."""
        if self._last is None:
            return ()
        return tuple(self._forecast(pool, horizon_s, 0) for pool in self._pools for horizon_s in self._horizons)

    def earlier(self) -> tuple[Forecast, ...]:
        """Returns the latest forecast of every step between the horizons: the next longer horizon's, made earlier."""
        between = [
            (horizon_s, ago)
            for shorter, (horizon_s, steps) in zip((0, *self._horizons.values()), self._horizons.items(), strict=False)
            for ago in range(1, steps - shorter)
        ]
        return tuple(
            self._forecast(pool, horizon_s, ago)
            for pool in self._pools
            for horizon_s, ago in between
            if ago < len(self._issued[pool, horizon_s])
        )

    def _forecast(self, pool: str, horizon_s: int, ago: int) -> Forecast:
        """Returns the forecast made `ago` steps before the last one. Both must exist."""
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
        """Drops history and forecasts without a value yet. What was learned about the pools stays."""
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
    """Loads a model, and checks that it forecasts finite values after quiet, busy, unknown and enormous minutes.

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
    except Exception as error:  # a foreign model's arrays and card may raise anything
        raise ForecastModelError(f"{source} cannot be used: {type(error).__name__}: {error}") from error
    return model
