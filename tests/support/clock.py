"""A clock that stands still until a test moves it, with timers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class ManualClock:
    """An `ossa.contracts.value.Clock`; where code takes a callable, pass `clock.now` or `clock.monotonic`.

    `advance` wakes all timers that are due. To wait until the code under test is waiting, `await clock.waiting()`.
    """

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._elapsed = 0.0
        self._timers: dict[object, tuple[float, Callable[[], object]]] = {}
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once. What was waiting for one of them goes on when the loop runs next."""
        self._elapsed += seconds
        for key, (at, wake) in sorted(self._timers.items(), key=lambda timer: timer[1][0]):
            if at <= self._elapsed:
                del self._timers[key]
                wake()

    async def waiting(self, timers: int = 1) -> None:
        """Return once so many `timeout`s and `sleep`s are waiting. Fails after 10 s of real time."""
        async with asyncio.timeout(10):
            while len(self._timers) < timers:
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as bound:
            with self._timer(seconds, lambda: bound.reschedule(0.0)):
                yield bound

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        with self._timer(seconds, over.set):
            await over.wait()

    @contextmanager
    def _timer(self, seconds: float, wake: Callable[[], object]) -> Iterator[None]:
        key = object()
        self._timers[key] = (self._elapsed + seconds, wake)
        self._changed.set()
        self.advance(0)
        try:
            yield
        finally:
            self._timers.pop(key, None)
