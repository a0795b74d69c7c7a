"""Fit of groups to a request by rules: the words they share. In [0, 1]."""

from __future__ import annotations

from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex

HALF_FIT = 2.0
"""The summed idf at which the fit is one half."""


def fits(index: FleetIndex, features: RequestFeatures) -> list[float]:
    """Fit of each group; 0 where it shares no word with the request. Empty where none does."""
    sums: dict[int, float] = {}
    for word in features.words:
        hit = index.words.get(word)
        if hit is None:
            continue
        weight, positions = hit
        for position in positions:
            sums[position] = sums.get(position, 0.0) + weight
    if not sums:
        return []
    found = [0.0] * len(index.groups)
    for position, total in sums.items():
        found[position] = total / (total + HALF_FIT)
    return found
