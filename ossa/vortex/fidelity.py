"""How much of the original is still in what was kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ossa.contracts.compression import Kind
from ossa.vortex.words import Floats

SAMPLE = 384
"""Originals compared at most, evenly spread: the mean of so many moves by about 0.02."""

KEPT_SAMPLE = 1024

FLOORS: Mapping[Kind, float] = {
    "json": 0.50,
    "table": 0.45,
    "log": 0.45,
    "stack": 0.50,
    "shell": 0.45,
    "diff": 0.60,
    "code": 0.50,
    "prose": 0.30,
    "dialogue": 0.30,
}
"""The least fidelity a kind is compressed to when the floor is on. Below these the answers to the benchmark's sets get
worse faster than tokens are saved (`benchmarks.compression`)."""


def fidelity(vectors: Floats, kept: Collection[int]) -> float:
    """Mean over the originals of the largest cosine to a kept piece: 1 when all are kept, 0 when none is.

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
