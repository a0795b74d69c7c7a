"""Measures how much of the original is still in what was kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ossa.contracts.compression import Kind
from ossa.vortex.words import Floats

SAMPLE = 384
"""Originals compared at most, evenly spread: the mean of so many moves by about 0.02."""

KEPT_SAMPLE = 1024


@dataclass(frozen=True)
class Floor:
    """A content of a kind is not compressed below this when the floor is on.

    Attributes:
        fidelity: the least.
        chance: the least sum of the chances of what stays, where a trained model tells them.
        tiny_share: of the tokens of a content of some hundred, at least so many stay (`LEAST_TOKENS` at most).
        least_share: of a longer one's, up to `least_tokens`.
        most_wider: the budget that was asked for is exceeded at most so many times.
    """

    fidelity: float
    chance: float = 0.0
    tiny_share: float = 0.7
    least_share: float = 0.5
    least_tokens: int = 1500
    most_wider: float = 1.5


FLOORS: Mapping[Kind, Floor] = {
    "json": Floor(0.50, chance=0.9, tiny_share=0.3, least_share=0.3, least_tokens=400),
    "table": Floor(0.45),
    "log": Floor(0.45),
    "stack": Floor(0.50),
    "shell": Floor(0.45),
    "diff": Floor(0.60),
    "code": Floor(0.50),
    "prose": Floor(0.30, chance=0.965, tiny_share=0.25, least_tokens=0, most_wider=2.5),
    "dialogue": Floor(0.30, chance=0.72, least_tokens=0, most_wider=2.4),
}
"""Measured: below these the answers to the benchmark's sets get worse faster than tokens are saved
(`benchmarks.compression`)."""


MIXED = Floor(0.70, chance=0.95, least_tokens=1500)
"""The floor of contents of several kinds."""


def fidelity(vectors: Floats, kept: Collection[int]) -> float:
    """Returns the mean over the originals of the largest cosine to a kept piece: 1 when all are kept, 0 when none is.

    Args:
        vectors: unit vectors of all pieces, shape (pieces, dimensions).
    """
    count = len(vectors)
    if not count or len(kept) == count:
        return 1.0
    if not kept:
        return 0.0
    chosen = np.asarray(sorted(kept))
    originals = np.arange(count) if count <= SAMPLE else np.linspace(0, count - 1, SAMPLE).astype(int)
    rest = originals[~np.isin(originals, chosen)]
    standing = (
        chosen if len(chosen) <= KEPT_SAMPLE else chosen[np.linspace(0, len(chosen) - 1, KEPT_SAMPLE).astype(int)]
    )
    if not len(rest):
        return 1.0
    nearest = np.clip((vectors[rest] @ vectors[standing].T).max(axis=1), 0.0, 1.0)
    return float((nearest.sum() + (len(originals) - len(rest))) / len(originals))
