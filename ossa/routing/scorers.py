"""Fit of groups to a request by rules: the words they share. In [0, 1]."""

from __future__ import annotations

from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex

HALF_FIT = 2.0
"""The summed idf at which the fit is one half."""


def fits(index: FleetIndex, features: RequestFeatures) -> dict[int, float]:
    """Fit of each group that shares a word with the request; the others' is 0."""
    sums: dict[int, float] = {}
    for word in features.words:
        hit = index.words.get(word)
        if hit is None:
            continue
        weight, positions = hit
        for position in positions:
            sums[position] = sums.get(position, 0.0) + weight
    return {position: total / (total + HALF_FIT) for position, total in sums.items()}
