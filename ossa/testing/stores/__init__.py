"""Stores in memory: a fake for tests and trials that keeps every promise but durability.

stores = MemoryStores(clock=lambda: now)
stores.go_down()      # every call raises StoreUnavailable
stores.come_back()
"""

from __future__ import annotations

from datetime import UTC, datetime

from ossa.contracts.configuration import EventSettings
from ossa.testing.stores.agent_history import MemoryAgentHistory
from ossa.testing.stores.budgets import MemoryBudgets, MemorySpending
from ossa.testing.stores.facts import MemoryFacts, MemoryProcessed
from ossa.testing.stores.fleet import MemoryFleet, MemoryKeys, MemoryScaling
from ossa.testing.stores.gate import Gate, Gated
from ossa.testing.stores.journal import Clock, MemoryHistory, MemoryJournal
from ossa.testing.stores.routing import MemoryRouting
from ossa.testing.stores.tiers import MemoryOriginals


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryStores(Gated):
    """`ossa.contracts.stores.Stores`, for one event loop.

    Args:
        clock: the store's time, with a time zone; leases and days go by it.
        events: the source under which facts are told.
    """

    def __init__(self, clock: Clock = _now, *, events: EventSettings | None = None) -> None:
        events = events or EventSettings()
        self._gate = Gate()
        self.facts = MemoryFacts(self._gate, clock, events.source)
        self.processed = MemoryProcessed(self._gate, clock)
        self.journal = MemoryJournal(self._gate, clock, self.facts)
        self.keys = MemoryKeys(self._gate, self.facts)
        self.fleet = MemoryFleet(self._gate, self.facts)
        self.originals = MemoryOriginals(self._gate)
        self.routing = MemoryRouting(self._gate, clock, self.journal, self.facts)
        self.budgets = MemoryBudgets(self._gate, clock, self.journal, self.facts)
        self.spending = MemorySpending(self._gate, self.journal, self.budgets, self.facts)
        self.scaling = MemoryScaling(self._gate, self.facts)
        self.history = MemoryHistory(self._gate, self.journal)
        self.agent_history = MemoryAgentHistory(self._gate)

    async def open(self) -> None:
        """Nothing to open; what is in it stays."""

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""
