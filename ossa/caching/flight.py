"""One piece of work for all who want its result at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ossa.contracts.errors import FleetBusy

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class Flights(Generic[T]):
    """Work in the air, by key. For one event loop.

    Args:
        max_open: pieces of work at once, those counted that do not heed their cancellation.
    """

    def __init__(self, max_open: int = 1024) -> None:
        self._max_open = max_open
        self._by_key: dict[Hashable, _Flight[T]] = {}
        self._alive: set[asyncio.Task[T]] = set()

    def __len__(self) -> int:
        """Pieces of work that have not ended."""
        return len(self._alive)

    def __contains__(self, key: Hashable) -> bool:
        """Whether `join` would wait for work that is there already."""
        return key in self._by_key

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the flight under `key`; `start` makes the work when there is none yet.

        What the work raises is raised to every waiter. A waiter that is cancelled leaves the
        others alone; with the last one the work is cancelled. Raises `FleetBusy` when too many are open.
        """
        flight = self._by_key.get(key)
        if flight is None:
            flight = self._launch(key, start)
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                flight.task.cancel()
                self._forget(key, flight)

    def _launch(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]]) -> _Flight[T]:
        if len(self._alive) >= self._max_open:
            raise FleetBusy(f"{self._max_open} pieces of work are open already.", retry_after_s=1.0)
        flight = _Flight(asyncio.create_task(start()))
        self._by_key[key] = flight
        self._alive.add(flight.task)
        flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.task.add_done_callback(self._alive.discard)
        return flight

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._by_key.get(key) is flight:
            del self._by_key[key]
