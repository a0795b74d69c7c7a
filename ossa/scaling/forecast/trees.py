"""Boosted trees as arrays: numpy alone reads and evaluates them, so that whoever forecasts need not carry XGBoost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Trees:
    """A forest; leaves point at themselves, so that a walk of `depth` steps ends in one.

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
