"""How wrong forecasts of all pools are on minutes that no fit has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.forecasting.panels import reordered
from lab.forecasting.replay import Replayed, coverage, replay, wape
from lab.forecasting.training import figures
from ossa.scaling.forecast.experts import prepared_all
from ossa.scaling.forecast.model import ForecastModel
from ossa.scaling.forecast.series import Panel

Floats = NDArray[np.float64]

SETTLING = 60
"""First minutes that are not scored: blends and bands begin anew for whoever is judged."""


@dataclass(frozen=True)
class Judged:
    """One horizon (in steps), all pools.

    `losses` (n,): twice the pinball loss, summed over pools, over their mean load together (the weighted quantile loss
    of Gasthaus et al. 2019, a minute); NaN where a value is not known of any pool.
    """

    horizon: int
    losses: Floats
    wape: float | None
    persistence_wape: float | None
    coverage_90: float | None
    pools: tuple[dict[str, Any], ...]

    @property
    def loss(self) -> float:
        return float(np.nanmean(self.losses)) if np.isfinite(self.losses).any() else float("nan")


def judge(model: ForecastModel | None, panel: Panel, start: int, horizons: tuple[int, ...]) -> list[Judged]:
    """Rows [start + SETTLING, end) of all pools of the panel.

    Args:
        model: it knows these pools; None: the simple experts stand alone, as they do where there is no model.
        start: the first row that it has not learned from.
    """
    seen = panel if model is None else reordered(panel, model.pools)
    learned = 0 if model is None else int(model.card["trained"]["rows"])
    by_horizon: dict[int, list[Replayed]] = {horizon: [] for horizon in horizons}
    settling = min(SETTLING, (len(panel) - start) // 4)
    for pool in panel.names:
        column = seen.names.index(pool)
        for given in prepared_all(seen, column, horizons):
            fitted = model.fitted.get((pool, given.horizon)) if model else None
            values = seen.values[:, column]
            whole = replay(given, fitted, values, start, learned=learned if fitted else 0)
            by_horizon[given.horizon].append(whole.last(len(panel) - start - settling))
    return [_judged(horizon, panel.names, found) for horizon, found in by_horizon.items()]


def _judged(horizon: int, pools: Sequence[str], found: Sequence[Replayed]) -> Judged:
    pinball = np.vstack([one.pinball() for one in found])
    actual = np.vstack([np.where(one.scored, one.actual, np.nan) for one in found])
    missing = ~np.isfinite(pinball).any(axis=0)
    load = float(np.nansum(actual)) / max(1, int((~missing).sum())) or 1.0
    losses = np.where(missing, np.nan, np.nansum(pinball, axis=0) / load)
    together = Replayed(*(np.concatenate(parts) for parts in zip(*[_parts(one) for one in found], strict=True)))
    return Judged(
        horizon,
        losses,
        wape(together.median, together.actual),
        wape(together.before, np.where(together.scored, together.actual, np.nan)),
        coverage(together),
        tuple({"pool": pool, "horizon": horizon, **figures(one)} for pool, one in zip(pools, found, strict=True)),
    )


def _parts(one: Replayed) -> tuple[Floats, ...]:
    return one.quantiles, one.low, one.high, one.before, one.actual
