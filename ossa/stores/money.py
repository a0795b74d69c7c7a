"""Money as the stores count it: whole billionths of a dollar, so that sums are exact."""

from __future__ import annotations

from ossa.contracts.budgets import MOST_CALL_USD, MOST_USD

NANO = 1_000_000_000


def nanos(usd: float) -> int:
    """Never negative, at most `MOST_USD`, so that sums of a few fit the columns; what is no number is nothing."""
    return round(min(usd, MOST_USD) * NANO) if usd > 0 else 0


def cost_nanos(usd: float) -> int:
    """Of one model call: what is claimed beyond reason counts as `MOST_CALL_USD`."""
    return min(nanos(usd), nanos(MOST_CALL_USD))


def usd(nanos: int) -> float:
    return nanos / NANO
