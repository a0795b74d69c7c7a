"""Whether a candidate may take the place of the model in use. Pure.

Both answer the same held-back items; their differences are resampled in pairs (Efron and Tibshirani 1993, ch. 13), and
where items follow each other in time, in blocks (Politis and Romano 1992, the circular block bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000
LEVEL = 0.95
SAME = 0.005
"""A loss of half a point is none, where it saves cost."""

LEAST_ITEMS = 30
"""Fewer held-back items decide nothing."""


@dataclass(frozen=True)
class Results:
    """How a model did on each held-back item: `gain` (more is better) and `cost_usd`, both of shape (items,).

    `block`: so many items in a row hang together.
    """

    name: str
    gain: Sequence[float]
    cost_usd: Sequence[float]
    block: int = 1


@dataclass(frozen=True)
class Interval:
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Candidate minus current on one kind of held-back items, with 95% intervals."""

    name: str
    items: int
    candidate: float
    current: float
    gain: Interval
    cost_usd: Interval

    @property
    def better(self) -> bool:
        """Surely better, or as good and surely cheaper."""
        cheaper = self.gain.low > -SAME and self.cost_usd.high < 0
        return self.items >= LEAST_ITEMS and (self.gain.low > 0 or cheaper)

    @property
    def worse(self) -> bool:
        """Surely worse, or as bad and surely dearer."""
        return self.gain.high < 0 or (self.gain.high <= 0 and self.cost_usd.low > 0)

    def told(self) -> dict[str, Any]:
        """For a card and a report."""
        return {
            "name": self.name,
            "items": self.items,
            "candidate": round(self.candidate, 5),
            "current": round(self.current, 5),
            "gain": [round(one, 5) for one in (self.gain.mean, self.gain.low, self.gain.high)],
            "cost_usd": [round(one, 8) for one in (self.cost_usd.mean, self.cost_usd.low, self.cost_usd.high)],
            "better": self.better,
            "worse": self.worse,
        }


@dataclass(frozen=True)
class Verdict:
    promote: bool
    reason: str


def compare(candidate: Results, current: Results, *, seed: int = 7) -> Comparison:
    """Compares results of the same items in the same order."""
    one, other = np.asarray(candidate.gain, dtype=np.float64), np.asarray(current.gain, dtype=np.float64)
    costs = np.asarray(candidate.cost_usd, dtype=np.float64) - np.asarray(current.cost_usd, dtype=np.float64)
    return Comparison(
        name=candidate.name,
        items=len(one),
        candidate=float(one.mean()),
        current=float(other.mean()),
        gain=bootstrap(one - other, block=candidate.block, seed=seed),
        cost_usd=bootstrap(costs, block=candidate.block, seed=seed),
    )


def bootstrap(differences: NDArray[np.float64], *, block: int = 1, seed: int = 7) -> Interval:
    """The mean and its interval: percentiles of the means of `RESAMPLES` resamples of `block` items in a row."""
    rng = np.random.default_rng(seed)
    count = len(differences)
    blocks, within = -(-count // block), np.arange(block)

    def resampled() -> float:
        places = rng.integers(0, count, blocks)[:, None] + within
        return float(differences[places.ravel()[:count] % count].mean())

    means = np.asarray([resampled() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(differences.mean()), float(low), float(high))


def decide(comparisons: Sequence[Comparison]) -> Verdict:
    """Promote what is better on something held back and worse on nothing."""
    if not comparisons:
        return Verdict(False, "nothing was held back to compare on")
    worse = [one.name for one in comparisons if one.worse]
    better = [one.name for one in comparisons if one.better]
    if worse:
        return Verdict(False, f"worse than the current model on {', '.join(worse)}")
    if not better:
        return Verdict(False, "not surely better than the current model on anything held back")
    return Verdict(True, f"better than the current model on {', '.join(better)}")
