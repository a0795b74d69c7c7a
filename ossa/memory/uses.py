"""Recalls, counted here and reported now and then: a recall writes nothing."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.memory_rows import MemoryRow, Use

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
