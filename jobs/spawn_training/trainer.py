"""Forecasts of all pools at once, on minutes split by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from jobs.tuning.promotion import Results
from jobs.tuning.trainer import Choice, Parameters, Range
from lab.forecasting.fitting import FEWEST_ROWS, SKIPPED_ROWS, TAIL_SETTINGS, BoostingSettings, FitSettings
from lab.forecasting.judging import Judged, judge
from lab.forecasting.panels import STEP_S
from lab.forecasting.split import Split
from lab.forecasting.training import train
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.routing import ModelKind
from ossa.contracts.scaling import HORIZONS_S
from ossa.scaling.forecast.model import ForecastModel
from ossa.scaling.forecast.series import Panel, SeriesError

HORIZONS = tuple(round(horizon_s / STEP_S) for horizon_s in HORIZONS_S)
FIRST: Parameters = {
    "rounds": 80,
    "eta": 0.1,
    "max_depth": 4,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "min_child_weight": 5.0,
    "reg_lambda": 1.0,
    "tail_rounds": 25,
}
"""Settings that do well on many series. Each search begins with them."""

BLOCK = 10
"""Losses of so many minutes, or of twice the horizon, hang together."""


@dataclass(frozen=True)
class SpawnTrainer:
    """
    Attributes:
        current: the model in use, to be compared with; None: the simple experts.
        replaces: the version that was live when the search began.
    """

    panel: Panel
    split: Split
    current_name: str
    current: ForecastModel | None = None
    replaces: int | None = None
    kind: ModelKind = "forecast"

    @property
    def space(self) -> Mapping[str, Range | Choice]:
        return {
            "rounds": Choice((40, 80, 120, 180)),
            "eta": Range(0.03, 0.3),
            "max_depth": Choice((2, 3, 4, 5, 6)),
            "subsample": Choice((0.5, 0.7, 0.9)),
            "colsample_bynode": Choice((0.3, 0.5, 0.8)),
            "min_child_weight": Range(1.0, 30.0),
            "reg_lambda": Range(0.3, 10.0),
            "tail_rounds": Choice((15, 25, 40)),
        }

    def fit(self, parameters: Parameters, *, share: float = 1.0, held_back: bool = False) -> ForecastModel:
        """On the newest `share` of what lies before the minutes that are held back."""
        settings = settings_of(parameters)
        until = self.split.shown if held_back else self.split.held_out
        rows = max(round(share * min(until, settings.most_rows)), FEWEST_ROWS + SKIPPED_ROWS)
        return self._trained(self.panel.until(until), replace(settings, most_rows=rows))

    def whole(self, parameters: Parameters) -> ForecastModel:
        """On every minute there is, to be used: the newest ones say most about tomorrow."""
        return self._trained(self.panel, settings_of(parameters))

    def validate(self, model: ForecastModel) -> float:
        """Minus the loss, mean over horizons."""
        judged = judge(model, self.panel.until(self.split.held_out), self.split.shown, HORIZONS)
        return -float(np.mean([one.loss for one in judged]))

    def judge(self, model: ForecastModel | None) -> list[Results]:
        return [results_of(one) for one in self.held_out(model)]

    def held_out(self, model: ForecastModel | None) -> list[Judged]:
        return judge(model, self.panel, self.split.held_out, HORIZONS)

    @staticmethod
    def _trained(panel: Panel, settings: FitSettings) -> ForecastModel:
        try:
            return train(panel, HORIZONS, settings, figures_too=False)
        except SeriesError as error:
            raise InvalidRequest(f"There is too little to learn from: {error}.") from error


def results_of(judged: Judged) -> Results:
    """A minute is an item; the more it gains, the less it loses."""
    losses = judged.losses[np.isfinite(judged.losses)]
    name = f"{judged.horizon * STEP_S / 60:g} min ahead"
    return Results(name, (-losses).tolist(), [0.0] * len(losses), max(BLOCK, 2 * judged.horizon))


def settings_of(parameters: Parameters) -> FitSettings:
    centre = {name: value for name, value in parameters.items() if name != "tail_rounds"}
    return FitSettings(
        centre=BoostingSettings(**centre), tails=replace(TAIL_SETTINGS, rounds=int(parameters["tail_rounds"]))
    )
