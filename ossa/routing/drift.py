"""Whether a model still sees what it was trained on, and still does as well as it expects. Pure.

Inputs are compared by the population stability index over fixed bins (Siddiqi 2006, Credit Risk Scorecards):

    psi = sum over bins of (live - reference) * ln(live / reference)

below 0.1 nothing moved, above 0.25 much did. Quality is watched by a one-sided cumulative sum (Page 1954):

    s = max(0, s + (expected - actual) - SLACK)

which stays near 0 while answers are at least as good as expected, and grows by the shortfall when they are not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, log
from typing import Any, Final

EDGES: Final[Mapping[str, tuple[float, ...]]] = {
    "unknown words": (0.02, 0.1, 0.2, 0.35, 0.5, 0.75),
    "characters": (16, 32, 64, 128, 256, 512, 1024, 4096),
    "likelihood": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97),
}
"""What is looked at of a request, and where its bins end: shares of 1, and a count."""

REFERENCE = "reference"
"""Where a model's card keeps the shares of its training texts, by what is looked at."""

PRIOR = 0.5
"""Requests each bin is credited with, so that no share is 0."""


@dataclass(frozen=True)
class Bounds:
    """
    Attributes:
        psi: a model whose inputs moved further is set aside.
        back: what set a model aside must fall to this share of its bound before the model comes back.
        window: requests that are compared; at least half of them must have been seen.
        shortfall: the cumulative sum at which a model is set aside, in answers.
    """

    psi: float = 0.5
    back: float = 0.5
    window: int = 1000
    shortfall: float = 20.0


SLACK = 0.1
"""A shortfall of a tenth of an answer is no evidence. With a bound of 20 a model whose estimates are right is set aside
less than once in a million answers, even where half of them fail: exp(2 * 0.1 * 20 / 0.25) (Siegmund 1985)."""

Shares = Mapping[str, Sequence[float]]


def bin_of(name: str, value: float) -> int:
    return bisect_right(EDGES[name], value)


def shares_of(seen: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Share of each bin, by what was looked at: the `REFERENCE` of a card. Of what nothing was seen, no entry."""
    counts: dict[str, list[int]] = {}
    for values in seen:
        for name, value in values.items():
            counts.setdefault(name, [0] * (len(EDGES[name]) + 1))[bin_of(name, value)] += 1
    return {name: [round(share, 6) for share in _shares(count)] for name, count in counts.items()}


def stability_index(reference: Sequence[float], live: Sequence[float]) -> float:
    """Of two lists of shares above 0 over the same bins; 0 when they are equal. Raises `ValueError`."""
    return sum((b - a) * log(b / a) for a, b in zip(reference, live, strict=True))


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) + PRIOR * len(counts)
    return [(count + PRIOR) / whole for count in counts]


def reference_of(card: Mapping[str, Any]) -> dict[str, list[float]]:
    """The card's reference; entries of other bins than ours are left out, and then not watched.

    Raises `ValueError` or `TypeError` for shares that are no finite numbers.
    """
    found = card.get(REFERENCE)
    if not isinstance(found, Mapping):
        return {}
    return {
        name: [_share(share) for share in shares]
        for name, shares in found.items()
        if name in EDGES and isinstance(shares, list) and len(shares) == len(EDGES[name]) + 1
    }


def _share(told: Any) -> float:
    share = float(told)
    if not isfinite(share):
        raise ValueError(f"a share of the card's {REFERENCE} is {share}")
    return max(share, 1e-6)


@dataclass
class InputWatch:
    """The last requests by bin: a full half of the window, and the half that fills up."""

    reference: Shares
    bounds: Bounds = field(default_factory=Bounds)
    _full: dict[str, list[int]] = field(default_factory=dict)
    _filling: dict[str, list[int]] = field(default_factory=dict)
    _count: int = 0

    def see(self, values: Mapping[str, float]) -> None:
        """`values`: by what is looked at; what the reference does not have is left out."""
        for name, value in values.items():
            if name in self.reference:
                self._filling.setdefault(name, [0] * len(self.reference[name]))[bin_of(name, value)] += 1
        self._count += 1
        if self._count >= self.bounds.window // 2:
            self._full, self._filling, self._count = self._filling, {}, 0

    def drift(self) -> dict[str, float]:
        """Stability index by what is looked at; empty until half a window was seen."""
        found = {}
        for name, full in self._full.items():
            filling = self._filling.get(name, [0] * len(full))
            counts = [one + other for one, other in zip(full, filling, strict=True)]
            found[name] = stability_index(self.reference[name], _shares(counts))
        return found


@dataclass(frozen=True)
class QualityWatch:
    """The cumulative sum so far, in answers."""

    bounds: Bounds = field(default_factory=Bounds)
    shortfall: float = 0.0

    def see(self, expected: float, actual: float) -> QualityWatch:
        """`expected`, `actual` in [0, 1]. The sum is capped, so that a bad day is made good in bounded time."""
        return self.see_all([(expected, actual)])

    def see_all(self, answers: Iterable[tuple[float, float]]) -> QualityWatch:
        """The same of many, one after the other: (expected, actual)."""
        shortfall, most = self.shortfall, 2 * self.bounds.shortfall
        for expected, actual in answers:
            shortfall = min(max(0.0, shortfall + (expected - actual) - SLACK), most)
        return replace(self, shortfall=shortfall)

    @property
    def alarm(self) -> float:
        """1 at the bound."""
        return self.shortfall / self.bounds.shortfall


def verdict(drift: Mapping[str, float], alarm: float, bounds: Bounds, *, aside: bool) -> str:
    """Why the model is not to decide; empty when it is. One that is `aside` has further to come back."""
    most = bounds.back if aside else 1.0
    reasons = [
        f"inputs moved: stability index of {name} is {index:.2f}, bound {bounds.psi:g}"
        for name, index in drift.items()
        if index > most * bounds.psi
    ]
    if alarm > most:
        reasons.append(f"answers are worse than expected: {alarm:.2f} of the bound")
    return "; ".join(reasons)
