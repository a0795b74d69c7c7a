"""Cost and quality of choosing models, and the areas by which choosers are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WORTHS_USD = np.concatenate(([0.0], np.geomspace(1e-5, 100.0, 800)))
"""What a right answer may be worth."""


def chosen(quality: Array, cost: Array, worth_usd: float) -> Array:
    """The model of each prompt: the largest quality * worth - cost."""
    found: Array = (quality * worth_usd - cost).argmax(axis=1)
    return found


def choices(quality: Array, cost: Array) -> Array:
    """The model of each prompt at each worth, those at which all is as at the worth before left out.

    Shape (worths, prompts).
    """
    found = np.stack([chosen(quality, cost, float(worth)) for worth in WORTHS_USD])
    return found[np.concatenate(([True], (found[1:] != found[:-1]).any(axis=1)))]


def outcomes(picked: Array, scores: Array, costs: Array) -> Array:
    """Rows (mean cost in USD, mean score) of models that were picked; `picked` has shape (rows, prompts)."""
    at = np.arange(len(scores))
    return np.stack((costs[at, picked].mean(axis=1), scores[at, picked].mean(axis=1)), axis=1)


def curve(quality: Array, cost: Array, scores: Array, costs: Array) -> Array:
    """Rows (worth, mean cost in USD, mean score) of estimates against what happened."""
    picked = np.stack([chosen(quality, cost, float(worth)) for worth in WORTHS_USD])
    return np.column_stack((WORTHS_USD, outcomes(picked, scores, costs)))


def hull(points: Array) -> Array:
    """The rising upper convex hull of (cost, quality): what mixing points reaches, without dearer ones no better."""
    rising: list[tuple[float, float]] = []
    for cost, quality in sorted(map(tuple, points), key=lambda point: (point[0], -point[1])):
        if rising and quality <= rising[-1][1]:
            continue
        while len(rising) > 1 and _turns_up(rising[-2], rising[-1], (cost, quality)):
            rising.pop()
        rising.append((cost, quality))
    return np.asarray(rising)


def _turns_up(one: tuple[float, float], other: tuple[float, float], third: tuple[float, float]) -> bool:
    return (other[1] - one[1]) * (third[0] - one[0]) <= (third[1] - one[1]) * (other[0] - one[0])


def aiq(points: Array, low: float, high: float) -> float:
    """Mean quality of the hull over the costs from `low` to `high` (RouterBench, Hu et al. 2024, eq. 3)."""
    border = hull(points)
    at = np.linspace(low, high, 2_001)
    quality = np.interp(at, border[:, 0], border[:, 1], left=0.0)
    return float(np.trapezoid(quality, at) / (high - low))


def cost_at(points: Array, quality: float) -> float:
    """The least cost of the hull that reaches a quality; infinite when none does."""
    border = hull(points)
    if border[-1, 1] < quality:
        return float("inf")
    if border[0, 1] >= quality:
        return float(border[0, 0])
    return float(np.interp(quality, border[:, 1], border[:, 0]))


def apgr(gain: Array, strong: Array, weak: Array) -> float:
    """Mean over shares of strong calls of (quality - weak's) / (strong's - weak's) (Ong et al. 2024, eq. 8).

    Args:
        gain: what the strong model is expected to do better; the strong model gets the prompts of the largest.
    """
    order = np.argsort(-gain, kind="stable")
    won = np.concatenate(([0.0], np.cumsum((strong - weak)[order])))
    return float(np.trapezoid(won, dx=1 / len(order)) / won[-1])
