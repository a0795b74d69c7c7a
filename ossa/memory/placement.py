"""Decides where an item should lie and whether its time is over. Pure functions of the row, the rules and the time."""

from __future__ import annotations

from datetime import datetime, timedelta

from ossa.contracts.memory import KindRules, MemoryTier
from ossa.contracts.memory_tiers import MemoryRow, Use


def wanted_tier(row: MemoryRow, rules: KindRules, now: datetime) -> MemoryTier:
    """Recalls that follow one another closely lift an item; idleness lets it sink, one tier at a time."""
    idle_s = (now - row.used_at).total_seconds()
    if idle_s <= min(rules.within_s, rules.hot_idle_s) and row.uses >= rules.hot_uses:
        return "hot"
    if row.tier == "hot":
        return "warm" if idle_s > rules.hot_idle_s else "hot"
    if row.tier == "warm":
        return "cold" if idle_s > rules.warm_idle_s else "warm"
    return "warm" if idle_s <= rules.within_s and row.uses >= rules.warm_uses else "cold"


def next_tier(row: MemoryRow, rules: KindRules, now: datetime) -> MemoryTier:
    """The next step to `wanted_tier`: hot and cold are not neighbours."""
    wanted = wanted_tier(row, rules, now)
    return "warm" if {wanted, row.tier} == {"hot", "cold"} else wanted


def expiry(row: MemoryRow, rules: KindRules) -> datetime | None:
    """Returns when the item is forgotten: its own time or that of its kind, whichever comes first."""
    kept = row.updated_at + timedelta(seconds=rules.keep_s) if rules.keep_s is not None else None
    if kept is None or row.expires_at is None:
        return kept or row.expires_at
    return min(kept, row.expires_at)


def is_over(row: MemoryRow, rules: KindRules, now: datetime) -> bool:
    ends = expiry(row, rules)
    return ends is not None and ends <= now


MOST = 10_000
"""Items with recalls that were not reported yet; those of others are not counted until then."""


class Uses:
    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Use] = {}

    def note(self, row: MemoryRow, *, at: datetime, within_s: float) -> None:
        key = (row.tenant, row.id)
        before = self._waiting.get(key)
        if before is None and len(self._waiting) >= MOST:
            return
        count = before.count + 1 if before is not None else 1
        self._waiting[key] = Use(tenant=row.tenant, id=row.id, count=count, at=at, within_s=within_s)

    def take(self) -> list[Use]:
        """All of them, which are not here afterwards."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())
