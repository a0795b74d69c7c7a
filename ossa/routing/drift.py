"""Detects that a model's inputs drift from its training data, or its answers fall below its estimates. Pure.

Inputs are compared by the population stability index over fixed bins (Siddiqi 2006, Credit Risk Scorecards):

    psi = sum over bins of (live - reference) * ln(live / reference)

Below 0.1 nothing moved, above 0.25 much did. Quality is watched by a one-sided cumulative sum (Page 1954):

    s = max(0, s + (expected - actual) - SLACK)

It stays near 0 while answers are at least as good as expected, and grows by the shortfall otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, log
from typing import Any, Final, Literal

EDGES: Final[Mapping[str, tuple[float, ...]]] = {
    "unknown words": (0.02, 0.1, 0.2, 0.35, 0.5, 0.75),
    "characters": (16, 32, 64, 128, 256, 512, 1024, 4096),
    "likelihood": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97),
}
"""The values watched of a request, and where their bins end: shares of 1, and a count."""

REFERENCE = "reference"
"""Key of a model's card for the shares of its training texts, by value."""

PRIOR = 0.5
"""Requests each bin is credited with, so that no share is 0."""


@dataclass(frozen=True)
class Bounds:
    """
    Attributes:
        psi: a model whose inputs moved further is set aside.
        back: share of its bound to which a reason must fall before the model comes back.
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
    """Returns the share of each bin by value, for the `REFERENCE` of a card; values that were not seen are left out."""
    counts: dict[str, list[int]] = {}
    for values in seen:
        for name, value in values.items():
            counts.setdefault(name, [0] * (len(EDGES[name]) + 1))[bin_of(name, value)] += 1
    return {name: [round(share, 6) for share in _shares(count)] for name, count in counts.items()}


def stability_index(reference: Sequence[float], live: Sequence[float]) -> float:
    """Compares two lists of shares above 0 over the same bins; 0 if they are equal. Raises `ValueError`."""
    return sum((b - a) * log(b / a) for a, b in zip(reference, live, strict=True))


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) + PRIOR * len(counts)
    return [(count + PRIOR) / whole for count in counts]


def reference_of(card: Mapping[str, Any]) -> dict[str, list[float]]:
    """Returns the card's reference. Entries with other bins are left out, and not watched.

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
    """Counts the last requests by bin: a full half of the window, and the half that fills up."""

    reference: Shares
    bounds: Bounds = field(default_factory=Bounds)
    _full: dict[str, list[int]] = field(default_factory=dict)
    _filling: dict[str, list[int]] = field(default_factory=dict)
    _count: int = 0

    def see(self, values: Mapping[str, float]) -> None:
        """Counts a request's values; those that the reference lacks are left out."""
        for name, value in values.items():
            if name in self.reference:
                self._filling.setdefault(name, [0] * len(self.reference[name]))[bin_of(name, value)] += 1
        self._count += 1
        if self._count >= self.bounds.window // 2:
            self._full, self._filling, self._count = self._filling, {}, 0

    def drift(self) -> dict[str, float]:
        """Returns the stability index by value; empty until half a window was seen."""
        drift = {}
        for name, full in self._full.items():
            filling = self._filling.get(name, [0] * len(full))
            counts = [old + new for old, new in zip(full, filling, strict=True)]
            drift[name] = stability_index(self.reference[name], _shares(counts))
        return drift


@dataclass(frozen=True)
class QualityWatch:
    """The cumulative sum so far, in answers."""

    bounds: Bounds = field(default_factory=Bounds)
    shortfall: float = 0.0

    def see(self, expected: float, actual: float) -> QualityWatch:
        """Adds an answer; both figures lie in [0, 1]. The sum is capped, so that a model recovers in bounded time."""
        return self.see_all([(expected, actual)])

    def see_all(self, answers: Iterable[tuple[float, float]]) -> QualityWatch:
        """Adds answers as (expected, actual), one after the other."""
        shortfall, most = self.shortfall, 2 * self.bounds.shortfall
        for expected, actual in answers:
            shortfall = min(max(0.0, shortfall + (expected - actual) - SLACK), most)
        return replace(self, shortfall=shortfall)

    @property
    def alarm(self) -> float:
        """1 at the bound."""
        return self.shortfall / self.bounds.shortfall


def verdict(drift: Mapping[str, float], alarm: float, bounds: Bounds, *, aside: bool) -> str:
    """Returns why the model must not decide; empty if it may. A model that is `aside` has further to come back."""
    most = bounds.back if aside else 1.0
    reasons = [
        f"inputs moved: stability index of {name} is {index:.2f}, bound {bounds.psi:g}"
        for name, index in drift.items()
        if index > most * bounds.psi
    ]
    if alarm > most:
        reasons.append(f"answers are worse than expected: {alarm:.2f} of the bound")
    return "; ".join(reasons)


Stream = Literal["rating", "outcome"]
"""Watched separately: many unrated successes must not hide a few bad ratings."""

MOST_TASKS = 2000
"""Tasks that count; older evidence is dropped."""

WITHOUT_ANY_ONE = 0.5
"""Share of the bound that the evidence must reach without any one tenant."""


@dataclass(frozen=True)
class Count:
    """One task. `expected` and `actual` lie in [0, 1]."""

    tenant: str
    stream: Stream
    expected: float
    actual: float


class Tally:
    """Counts each task once: later evidence replaces earlier evidence of the same task."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts: dict[str, Count] = {}
        self._tenants: set[str] = set()

    def count(self, task_id: str, tenant: str, evidence: Count | None) -> None:
        """Counts a task. Without evidence only its tenant counts, as one that does not complain."""
        self._tenants.add(tenant)
        if evidence is None:
            self._counts.pop(task_id, None)
            return
        self._counts[task_id] = evidence
        if len(self._counts) > MOST_TASKS:
            del self._counts[next(iter(self._counts))]

    def alarm(self) -> float:
        """Returns the alarm of the worst stream; 1 is the bound. Takes milliseconds a tenant: call it in a thread."""
        streams: dict[Stream, list[Count]] = {}
        for count in self._counts.values():
            streams.setdefault(count.stream, []).append(count)
        return max((self._alarm(counts) for counts in streams.values()), default=0.0)

    def _alarm(self, counts: list[Count]) -> float:
        """Believes a tenant alone if it is the only one; else the evidence must stand without any one of them."""
        alarm = self._watched(counts)
        if not alarm or len(self._tenants) < 2:
            return alarm
        for tenant in {count.tenant for count in counts}:
            without = self._watched(count for count in counts if count.tenant != tenant)
            alarm = min(alarm, without / WITHOUT_ANY_ONE)
        return alarm

    def _watched(self, counts: Iterable[Count]) -> float:
        return QualityWatch(self._bounds).see_all((count.expected, count.actual) for count in counts).alarm
