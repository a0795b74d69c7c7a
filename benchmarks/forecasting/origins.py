"""Where a series is cut: the first half is only learned from, the second is forecast, refitted at fixed rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

REFITS = 4


@dataclass(frozen=True)
class Origins:
    """Origins `start..end` are scored; `refits` are the rows at which models are fitted again, on what lies before.

    `warm`: origins `warm..start` are forecast by a model that has seen nothing from `warm` on; blends and residuals
    start from these, and they are not scored.
    """

    warm: int
    start: int
    end: int
    refits: tuple[int, ...]

    def blocks(self) -> list[tuple[int, int]]:
        """(fitted at, forecasts until), the warm-up first."""
        edges = [*self.refits, self.end]
        return [(self.warm, self.start), *pairwise(edges)]


def origins(rows: int) -> Origins:
    start = rows // 2
    refits = np.linspace(start, rows, REFITS + 1).astype(int)[:-1]
    return Origins(int(start * 0.6), start, rows, tuple(int(row) for row in refits))
