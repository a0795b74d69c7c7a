"""Trained parts of a model as arrays. numpy evaluates them, so a process that forecasts needs no XGBoost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

CLIP = 5.0
"""Features are relative to the local level and scale: what lies beyond is an outlier, and a sum must not follow it."""


@dataclass(frozen=True)
class Trees:
    """Boosted trees. Leaves point at themselves, so that a walk of `depth` steps ends in one.

    Attributes:
        roots: (K,) first node of each tree.
        outputs: (K,) which output a tree adds to.
        feature, left, right, missing_left: (N,) of each node.
        threshold: (N,) float32, `x < threshold` goes left, NaN where `missing_left` says.
        value: (N,) what a leaf adds.
        bias: (Q,) what outputs start from.
    """

    roots: Ints
    outputs: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    bias: Floats
    depth: int

    def predict(self, table: Floats) -> Floats:
        """(n, F) -> (n, Q)."""
        rows = table.astype(np.float32)
        found = np.empty((len(rows), len(self.bias)))
        for first in range(0, len(rows), 1024):
            found[first : first + 1024] = self._walk(rows[first : first + 1024])
        return found

    def _walk(self, rows: NDArray[np.float32]) -> Floats:
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
        line = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            seen = rows[line, self.feature[node]]
            left = np.where(np.isnan(seen), self.missing_left[node], seen < self.threshold[node])
            node = np.where(left, self.left[node], self.right[node])
        leaves = self.value[node].astype(np.float64)
        found = np.tile(self.bias, (len(rows), 1))
        for output in range(len(self.bias)):
            found[:, output] += leaves[:, self.outputs == output].sum(axis=1)
        return found


@dataclass(frozen=True)
class Linear:
    """Least absolute deviations: a sum of lags where splits do worse.

    `weights` (F + 1,), the last one for the constant; `centre`, `spread` (F,).
    """

    centre: Floats
    spread: Floats
    weights: Floats
    lowest: float
    highest: float

    def predict(self, table: Floats) -> Floats:
        """(n, F) -> (n,), clipped to what training has seen."""
        return np.asarray(
            np.clip(design_matrix(table, self.centre, self.spread) @ self.weights, self.lowest, self.highest)
        )


def design_matrix(table: Floats, centre: Floats, spread: Floats) -> Floats:
    scaled = (np.clip(np.nan_to_num(table), -CLIP, CLIP) - centre) / spread
    return np.column_stack([np.clip(scaled, -CLIP, CLIP), np.ones(len(table))])


@dataclass(frozen=True)
class Fitted:
    """`relative` and `absolute` forecast the median, from features relative to the level and as they are."""

    relative: Trees
    absolute: Trees
    tails: Trees
    linear: Linear
    mean: float
    """Divisor of the targets of `absolute`."""
