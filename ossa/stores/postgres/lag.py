"""Whether a replica is near enough to its primary to be read from.

No two machines' clocks are compared. The primary's place in its journal is noted with our own time; once a replica has
replayed as far as that place, all that was committed by then can be read from it. So an idle primary is no special
case, and neither is a replica that is cut off and believes itself up to date: its proof grows old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """The primary had written this far at `at`, by our clock. A failover begins another timeline."""

    at: float
    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a server has replayed."""

    timeline: int
    lsn: int


def current_as_of(marks: Sequence[Mark], progress: Progress) -> float | None:
    """The latest noted moment of which all commits can be read there; None: none is proved.

    Journal of another timeline proves nothing: after a failover the same place may hold something else.
    """
    reached = [mark.at for mark in marks if mark.timeline == progress.timeline and mark.lsn <= progress.lsn]
    return max(reached, default=None)


def near_enough(as_of: float | None, *, now: float, bound_s: float) -> bool:
    return as_of is not None and now - as_of <= bound_s


def still_useful(marks: Sequence[Mark], *, now: float, bound_s: float) -> list[Mark]:
    """Without those that could prove nothing within the bound any more."""
    return [mark for mark in marks if now - mark.at <= bound_s]
