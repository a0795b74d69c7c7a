"""Money as the stores count it: whole billionths of a dollar, so that sums are exact."""

from __future__ import annotations

NANO = 1_000_000_000


def nanos(usd: float) -> int:
    """Never negative."""
    return max(0, round(usd * NANO))


def usd(nanos: int) -> float:
    return nanos / NANO
