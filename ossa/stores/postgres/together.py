"""Calls that come while one is on its way go together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ossa.contracts.errors import InvalidRequest

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """One batch at a time, so that one caller alone waits for one round trip, and many share them.

    A caller that is cancelled leaves its item in the batch: it may take effect all the same. Of a batch that holds a
    value that cannot be kept each item is run alone; whatever else `run` raises, every caller of the batch meets.

    Args:
        run: a batch of items -> their results, in order.
        most: items in one batch.
    """

    def __init__(self, run: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(), name="together")
        return await done

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._send_batch(batch)
        finally:
            self._sending = None

    async def _send_batch(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except InvalidRequest as error:
            if len(batch) > 1:
                for one in batch:
                    await self._send_batch([one])
                return
            self._fail(batch, error)
            return
        except Exception as error:  # noqa: BLE001 - each caller is told, and decides
            self._fail(batch, error)
            return
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)

    @staticmethod
    def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
        for _, done in batch:
            if not done.done():
                done.set_exception(error)
