"""What must be shown, and what was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from benchmarks.forecasting.scores import Result

OURS = "ossa"
SHARE_WON = 0.8
"""8 of 10 series."""
MEDIAN_GAIN = 0.10
NOMINAL, MOST_OFF = 0.90, 0.02


@dataclass(frozen=True)
class SeriesResult:
    """One series over its horizons.

    Attributes:
        wape, best_wape: means over the horizons, ours and of the baseline with the lowest one.
        gain: 1 - wape / best_wape.
        horizons_won: of how many horizons our WAPE is below every baseline's at that horizon.
        coverage_90: mean over the horizons; `most_off` the largest distance from 0.9 of any.
    """

    series: str
    wape: float
    best: str
    best_wape: float
    gain: float
    horizons_won: int
    horizons: int
    coverage_90: float
    most_off: float
    within_10pct: float

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Aim:
    aim: str
    measured: str
    met: bool


def series_results(results: list[Result]) -> list[SeriesResult]:
    found = []
    for series in dict.fromkeys(one.series for one in results):
        here = [one for one in results if one.series == series]
        ours = [one for one in here if one.method == OURS]
        others = [one for one in here if one.method != OURS]
        methods = {one.method for one in others}
        wapes = {name: mean(one.wape for one in others if one.method == name) for name in sorted(methods)}
        best = min(wapes, key=lambda name: wapes[name])
        own = mean(one.wape for one in ours)
        won = sum(all(one.wape < it.wape for it in others if it.horizon == one.horizon) for one in ours)
        found.append(
            SeriesResult(
                series,
                own,
                best,
                wapes[best],
                1.0 - own / wapes[best] if wapes[best] else 0.0,
                won,
                len(ours),
                mean(one.coverage_90 for one in ours),
                max(abs(one.coverage_90 - NOMINAL) for one in ours),
                mean(one.within_10pct for one in ours),
            )
        )
    return found


def aims(found: list[SeriesResult]) -> list[Aim]:
    """By series, each over its horizons."""
    won = sum(one.gain > 0 for one in found)
    gain = median(one.gain for one in found)
    covered = sum(abs(one.coverage_90 - NOMINAL) <= MOST_OFF for one in found)
    coverage = mean(one.coverage_90 for one in found)
    cells = sum(one.horizons_won for one in found), sum(one.horizons for one in found)
    return [
        Aim(
            "WAPE below the best baseline on 8 of 10 series",
            f"{won} of {len(found)} series ({cells[0]} of {cells[1]} series and horizons)",
            won >= SHARE_WON * len(found),
        ),
        Aim("WAPE 10% below the best baseline in the median", f"{gain:.1%}", gain >= MEDIAN_GAIN),
        Aim(
            "coverage of the 90% band within 2 points, every series",
            f"{covered} of {len(found)} series; mean {coverage:.1%}",
            covered == len(found),
        ),
    ]
