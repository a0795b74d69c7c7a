"""One clock for many who wait equally long."""

from __future__ import annotations

import asyncio
from collections import deque

from ossa.contracts.errors import StoreUnavailable

Answer = asyncio.Future[bytes | None]


class Deadlines:
    """Futures that fail with `StoreUnavailable` when nobody answered them in time. For one event loop.

    A timer each would cost more than what is waited for; as all wait equally long, one for the oldest is enough.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._waiting: deque[tuple[float, Answer]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def future(self) -> Answer:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()  # and with it the value it holds
        answer: Answer = loop.create_future()
        until = loop.time() + self._answer_s
        waiting.append((until, answer))
        if self._timer is None:
            self._timer = loop.call_at(until, self._pass)
        return answer

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()

    def _pass(self) -> None:
        assert self._loop is not None
        waiting, now = self._waiting, self._loop.time()
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            _, answer = waiting.popleft()
            if not answer.done():
                answer.set_exception(StoreUnavailable("The shared cache did not answer in time.", retry_after_s=1.0))
        self._timer = self._loop.call_at(waiting[0][0], self._pass) if waiting else None
