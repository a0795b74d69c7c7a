"""Least absolute deviations over the features: what a sum of lags does better than splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLIP = 5.0
"""Features are relative to the local level and scale: what lies beyond is an outlier, and a sum must not follow it."""
RIDGE = 0.02
TURNS = 8


@dataclass(frozen=True)
class Linear:
    """`weights` (F + 1,), the last one for the constant; `centre`, `spread` (F,)."""

    centre: Floats
    spread: Floats
    weights: Floats
    lowest: float
    highest: float

    def predict(self, table: Floats) -> Floats:
        """(n, F) -> (n,), within what training has seen."""
        return np.asarray(np.clip(_design(table, self.centre, self.spread) @ self.weights, self.lowest, self.highest))


def fit_linear(table: Floats, target: Floats, weight: Floats) -> Linear:
    """Iteratively reweighted least squares (Schlossmacher 1973) with a ridge penalty."""
    clipped = np.clip(np.nan_to_num(table), -CLIP, CLIP)
    centre, spread = clipped.mean(axis=0), clipped.std(axis=0) + 1e-6
    design = _design(table, centre, spread)
    lowest, highest = np.quantile(target, (0.005, 0.995))
    aimed = np.clip(target, lowest, highest)
    penalty = np.eye(design.shape[1]) * RIDGE * weight.sum()
    penalty[-1, -1] = 0.0
    emphasis = weight
    weights = np.zeros(design.shape[1])
    for _ in range(TURNS):
        weighted = design * emphasis[:, None]
        weights = np.linalg.lstsq(weighted.T @ design + penalty, weighted.T @ aimed, rcond=None)[0]
        emphasis = weight / np.maximum(np.abs(aimed - design @ weights), 0.05)
    return Linear(centre, spread, weights, float(lowest), float(highest))


def _design(table: Floats, centre: Floats, spread: Floats) -> Floats:
    scaled = (np.clip(np.nan_to_num(table), -CLIP, CLIP) - centre) / spread
    return np.column_stack([np.clip(scaled, -CLIP, CLIP), np.ones(len(table))])
