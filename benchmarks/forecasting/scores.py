"""One object a series, method and horizon, as the figures' file has it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecasting.ours import Forecasts
from ossa.contracts.scaling import QUANTILES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        horizon: steps ahead.
        n: scored origins, those whose value is known.
        wape: sum of absolute errors of the .5 quantile over the sum of values.
        pinball_50, pinball_90, pinball_99: mean pinball loss over the mean value.
        coverage_90: share of values within the 90% band.
        within_10pct: share of values at most 10% away from the .5 quantile.
    """

    series: str
    method: str
    horizon: int
    n: int
    wape: float
    pinball_50: float
    pinball_90: float
    pinball_99: float
    coverage_90: float
    within_10pct: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(self).items()}


def score(series: str, method: str, horizon: int, actual: Floats, forecasts: Forecasts) -> Result | None:
    """`actual` (n,), NaN where not known. None where nothing is known or all is 0."""
    known = np.isfinite(actual)
    values = actual[known]
    if not len(values) or values.sum() <= 0:
        return None
    quantiles = forecasts.quantiles[known]
    middle = quantiles[:, QUANTILES.index(0.5)]
    wrong = np.abs(values - middle)

    def pinball(level: float) -> float:
        over = values - quantiles[:, QUANTILES.index(level)]
        return float(np.maximum(level * over, (level - 1) * over).mean() / values.mean())

    inside = (values >= forecasts.low[known]) & (values <= forecasts.high[known])
    return Result(
        series,
        method,
        horizon,
        len(values),
        float(wrong.sum() / values.sum()),
        pinball(0.5),
        pinball(0.9),
        pinball(0.99),
        float(inside.mean()),
        float((wrong <= 0.1 * values).mean()),
    )
