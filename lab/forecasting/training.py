"""From a panel of pools to a model with its card. Needs XGBoost; using a model does not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lab.forecasting.fitting import FitSettings, fit
from lab.forecasting.replay import Replayed, coverage, replay, wape
from ossa.scaling.forecast.experts import Prepared, prepared_all
from ossa.scaling.forecast.model import Fitted, ForecastModel, Key
from ossa.scaling.forecast.series import Panel, SeriesError

HELD_OUT = 0.2
"""Last share of the data that the card's figures are of."""


def train(
    panel: Panel, horizons: tuple[int, ...], settings: FitSettings | None = None, *, figures_too: bool = True
) -> ForecastModel:
    """One fit a pool and horizon (in steps), on all of the panel; figures are of a fit that had not seen the end.

    Pools with too little to learn from are left out and named in the card's `skipped`.

    Args:
        figures_too: False for who has held something out and measures on that.

    Raises:
        SeriesError: no pool has enough.
    """
    chosen = settings or FitSettings()
    fitted: dict[Key, Fitted] = {}
    held_out: list[dict[str, Any]] = []
    skipped: list[str] = []
    for column, pool in enumerate(panel.names):
        for given in prepared_all(panel, column, horizons):
            try:
                found = measured(given, panel, column, chosen) if figures_too else {}
                fitted[(pool, given.horizon)] = fit(given, len(panel), chosen)
            except SeriesError as error:
                skipped.append(f"{pool}, {given.horizon} steps: {error}")
                continue
            if figures_too:
                held_out.append({"pool": pool, "horizon": given.horizon, **found})
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
    """`figures` over the last `HELD_OUT`, of a fit on what lies before.

    Raises:
        SeriesError: too little to learn from before that.
    """
    start = int(len(panel) * (1 - HELD_OUT))
    return figures(replay(given, fit(given, start, settings), panel.values[:, column], start, learned=start))


def figures(replayed: Replayed) -> dict[str, float | int | None]:
    """WAPE of the median and coverage of the 90% band, over `n` values."""
    return {
        "n": int(replayed.scored.sum()),
        "wape": _rounded(wape(replayed.median, replayed.actual)),
        "coverage_90": _rounded(coverage(replayed)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat()
