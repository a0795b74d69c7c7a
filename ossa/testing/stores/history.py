"""The end of old tasks, in memory."""

from __future__ import annotations

from datetime import datetime

from ossa.contracts.stores import Pruned
from ossa.testing.stores.gate import Gate
from ossa.testing.stores.journal import MemoryJournal


class MemoryHistory:
    """`ossa.contracts.stores.HistoryStore`."""

    def __init__(self, gate: Gate, journal: MemoryJournal) -> None:
        self._gate = gate
        self._journal = journal

    async def prune(self, *, before: datetime) -> Pruned:
        self._gate.check()
        return Pruned(tasks=self._journal.forget_ended(before), parts=0)
