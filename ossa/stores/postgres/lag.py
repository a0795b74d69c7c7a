"""Whether a replica is near enough to its primary to be read from.

A process notes rising numbers in a row of its own on the primary, with the time by its own clock. Once a replica shows
a number, all that was committed by that time can be read from it. No two machines' clocks are compared, no positions in
a journal that begins another timeline with each failover. An idle primary is no special case, and neither is a replica
that is cut off and believes itself up to date: its proof grows old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """Noted on the primary; `at` is before it was sent."""

    at: float
    number: int


def current_as_of(marks: Sequence[Mark], shown: int) -> float | None:
    """The latest noted moment of which all commits can be read where `shown` is; None: none is proved."""
    return max((mark.at for mark in marks if mark.number <= shown), default=None)


def near_enough(as_of: float | None, *, now: float, bound_s: float) -> bool:
    return as_of is not None and now - as_of <= bound_s


def still_useful(marks: Sequence[Mark], *, now: float, bound_s: float) -> list[Mark]:
    """Without those that could prove nothing within the bound any more."""
    return [mark for mark in marks if now - mark.at <= bound_s]
