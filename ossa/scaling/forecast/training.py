"""From a panel of pools to a model with its card. Needs XGBoost; using a model does not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ossa.scaling.forecast.experts import FitSettings, Prepared, fit, prepared, say
from ossa.scaling.forecast.grid import Panel, SeriesError
from ossa.scaling.forecast.model import ForecastModel
from ossa.scaling.forecast.track import Issued, Outlook, Track

HELD_OUT = 0.2
"""Last share of the data that the card's figures are of."""


def train(panel: Panel, horizons: tuple[int, ...], settings: FitSettings | None = None) -> ForecastModel:
    """One fit a pool and horizon (in steps), on all of the panel; figures are of a fit that had not seen the end.

    Pools with too little to learn from are left out and named in the card's `skipped`.

    Raises:
        SeriesError: no pool has enough.
    """
    chosen = settings or FitSettings()
    fitted = {}
    held_out: list[dict[str, Any]] = []
    skipped: list[str] = []
    for column, pool in enumerate(panel.names):
        for horizon in horizons:
            given = prepared(panel, column, horizon)
            try:
                figures = measured(given, panel, column, chosen)
                fitted[(pool, horizon)] = fit(given, len(panel), chosen)
            except SeriesError as error:
                skipped.append(f"{pool}, {horizon} steps: {error}")
                continue
            held_out.append({"pool": pool, "horizon": horizon, **figures})
    if not fitted:
        raise SeriesError("; ".join(skipped) or "no pool and no horizon to train")
    seconds = panel.seconds()
    card = {
        "step_s": panel.step_s,
        "pools": list(panel.names),
        "horizons": list(horizons),
        "trained": {"from": _iso(seconds[0]), "until": _iso(seconds[-1]), "rows": len(panel)},
        "settings": asdict(chosen),
        "held_out": held_out,
        "skipped": skipped,
    }
    return ForecastModel(card, fitted)


def measured(given: Prepared, panel: Panel, column: int, settings: FitSettings) -> dict[str, float | int | None]:
    """WAPE and coverage of the band over the last `HELD_OUT`; what a search over settings compares.

    Raises:
        SeriesError: too little to learn from before that.
    """
    start = int(len(panel) * (1 - HELD_OUT))
    said = say(given, fit(given, start, settings), slice(start, len(panel)))
    track = Track(given.prior(start), given.horizon)
    issued: list[Issued] = []
    values = panel.values[:, column]
    wrong, load, inside, number = 0.0, 0.0, 0, 0
    for place in range(len(panel) - start):
        actual = float(values[start + place])
        due = place - given.horizon
        if due >= 0 and np.isfinite(actual):
            prediction = issued[due].prediction
            wrong += abs(actual - prediction.median)
            load += actual
            inside += prediction.low <= actual <= prediction.high
            number += 1
            track.learn(issued[due], actual)
        issued.append(track.issue(Outlook(said.centres[place], said.tails[place], float(said.scale[place]))))
    return {
        "n": number,
        "wape": round(wrong / load, 5) if load > 0 else None,
        "coverage_90": round(inside / number, 5) if number else None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat()
