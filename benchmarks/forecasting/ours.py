"""OSSA's forecast replayed: fitted on the past at each refit, blended and calibrated as each value comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecasting.origins import Origins
from lab.forecasting.fitting import FitSettings, fit
from ossa.contracts.scaling import QUANTILES
from ossa.scaling.forecast.experts import Prepared, prepared, say
from ossa.scaling.forecast.model import Fitted
from ossa.scaling.forecast.series import Panel, SeriesError
from ossa.scaling.forecast.track import Issued, Outlook, Track

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Forecasts:
    """Of the scored origins: `quantiles` (n, Q) at `QUANTILES`, `low` and `high` (n,) of the 90% band."""

    quantiles: Floats
    low: Floats
    high: Floats


def replayed(panel: Panel, horizon: int, at: Origins, settings: FitSettings | None = None) -> Forecasts:
    given = prepared(panel, 0, horizon)
    track = Track(given.prior(at.start), horizon)
    issued: list[Issued] = []
    for first, last in at.blocks():
        said = say(given, _fitted(given, first, settings or FitSettings()), slice(first, last))
        for row in range(first, last):
            due = row - horizon - at.warm
            if due >= 0:
                track.learn(issued[due], float(panel.values[row, 0]))
            place = row - first
            issued.append(track.issue(Outlook(said.centres[place], said.tails[place], float(said.scale[place]))))
    scored = [one.prediction for one in issued[at.start - at.warm :]]
    return Forecasts(
        np.asarray([one.quantiles for one in scored]).reshape(-1, len(QUANTILES)),
        np.asarray([one.low for one in scored]),
        np.asarray([one.high for one in scored]),
    )


def _fitted(given: Prepared, until: int, settings: FitSettings) -> Fitted | None:
    try:
        return fit(given, until, settings)
    except SeriesError:
        return None
