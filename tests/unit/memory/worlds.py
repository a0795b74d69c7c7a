"""A memory over fakes, and stores that stand still before and after everything they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ossa.contracts.memory import PlacementPolicy
from ossa.memory.service import MemoryService
from ossa.memory.tiers import HotCopies, WarmVectors, memory_schema
from ossa.testing.stores.tiers import InMemoryCatalogue, InMemoryObjects, MemoryCache, MemoryVectors
from tests.support.clock import ManualClock

WORDS = ("cat", "dog", "car")
START = datetime(2026, 1, 1, tzinfo=UTC)


async def embed(text: str) -> Sequence[float]:
    """How often each of three words is in it."""
    return [float(text.split().count(word)) for word in WORDS]


class World:
    """The stores that processes share."""

    def __init__(self, policy: PlacementPolicy | None = None) -> None:
        self.policy = policy or PlacementPolicy()
        self.clock = ManualClock(START)
        self.catalogue = InMemoryCatalogue()
        self.cache = MemoryCache(self.clock.monotonic)
        self.vectors = MemoryVectors(memory_schema(len(WORDS)))
        self.objects = InMemoryObjects()

    def process(self, through: Callable[[Any], Any] = lambda store: store) -> MemoryService:
        """One more, with a front of its own. `through` goes between it and each store."""
        return MemoryService(
            through(self.catalogue),
            HotCopies(through(self.cache), answer_s=1e6, clock=self.clock.monotonic),
            WarmVectors(through(self.vectors)),
            through(self.objects),
            embed=embed,
            policy=self.policy,
            now=self.clock.now,
        )


operation: ContextVar[int] = ContextVar("operation")


class Steps:
    """Calls of stores that wait to be let on, one at a time; each belongs to an operation."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def stand_still(self) -> None:
        let_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((operation.get(), let_on))
        await let_on

    def through(self, store: Any) -> Any:
        return _Halting(store, self)


class _Halting:
    def __init__(self, store: Any, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._steps.stand_still()
            done = await method(*args, **named)
            await self._steps.stand_still()
            return done

        return call
