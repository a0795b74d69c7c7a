"""Many questions, few round trips; one clock for all who wait equally long."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ossa.caching.guarded import CacheCounts
from ossa.contracts.cache import BatchStore, CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.origin import apart

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


ACTS_MAX = 512
"""Questions in one batch."""

BYTES_MAX = 4 * 2**20
"""Bytes of values that one batch writes."""

BATCHES_MAX = 2
"""Batches on their way to one place at a time. What comes meanwhile goes in the next one."""

WAITING_MAX = 16_384

JITTER = 0.1
"""Share by which a lifetime is shorter or longer, so that what was kept at one moment does not end at one moment."""


@dataclass(slots=True, eq=False)
class _Asked:
    act: CacheAct
    answers: list[Answer]


@dataclass(slots=True, eq=False)
class _Queue:
    waiting: deque[_Asked] = field(default_factory=deque)
    batches: int = 0
    woken: bool = False


class CoalescingCache:
    """`ossa.contracts.cache.CacheStore` over one that takes batches, for one event loop.

    What is asked in one tick of the loop, or while two batches are on their way, goes as one. A get of what is being
    got already waits for that answer, unless it was written or dropped in between. Each place has batches of its own.

    Args:
        answer_s: after which a caller has `StoreUnavailable`, whatever its batch is at.
        rng: varies the lifetimes (`JITTER`); None: they stay as given.
    """

    def __init__(
        self,
        store: BatchStore,
        *,
        answer_s: float = 0.25,
        counts: CacheCounts | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.counts = counts or CacheCounts()
        self._store = store
        self._rng = rng
        self._deadlines = Deadlines(answer_s)
        self._queues: dict[str, _Queue] = {}
        self._gets: dict[CacheGet, _Asked] = {}
        self._waiting = 0
        self._batches: set[asyncio.Task[None]] = set()

    def place(self, tenant: str) -> str:
        return self._store.place(tenant)

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        act = CacheGet(tenant, key)
        asked = self._gets.get(act)
        if asked is None:
            asked = self._gets[act] = self._ask(act)
        else:
            self.counts.coalesced += 1
        answer = self._deadlines.future()
        asked.answers.append(answer)
        return await answer

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        if self._rng is not None:
            ttl_s *= self._rng.uniform(1 - JITTER, 1 + JITTER)
        await self._write(CacheSet.checked(tenant, key, value, ttl_s))

    async def drop(self, key: str, *, tenant: str) -> None:
        await self._write(CacheDrop(tenant, key))

    async def ping(self) -> None:
        await self._store.ping()

    async def close(self) -> None:
        """Closes the store. Questions that were not sent fail with `StoreUnavailable`."""
        for queue in self._queues.values():
            self._land(queue.waiting, [StoreUnavailable("The cache was closed.")] * len(queue.waiting))
            queue.waiting.clear()
        for task in self._batches:
            task.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        self._deadlines.close()
        await self._store.close()

    async def _write(self, act: CacheSet | CacheDrop) -> None:
        asked = self._ask(act)
        answer = self._deadlines.future()
        asked.answers.append(answer)
        try:
            await answer
        finally:
            # Whoever asks from now on sees what was written: an answer on its way may be older.
            self._gets.pop(CacheGet(act.tenant, act.key), None)

    def _ask(self, act: CacheAct) -> _Asked:
        if self._waiting >= WAITING_MAX:
            raise StoreUnavailable(f"{WAITING_MAX} questions wait for the shared cache.", retry_after_s=1.0)
        place = self._store.place(act.tenant)
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = _Queue()
        asked = _Asked(act, [])
        queue.waiting.append(asked)
        self._waiting += 1
        if not queue.woken and queue.batches < BATCHES_MAX:
            queue.woken = True
            asyncio.get_running_loop().call_soon(self._send_some, place, queue)
        return asked

    def _send_some(self, place: str, queue: _Queue) -> None:
        queue.woken = False
        while queue.waiting and queue.batches < BATCHES_MAX:
            batch = self._next(queue)
            if not batch:
                continue
            queue.batches += 1
            task = asyncio.get_running_loop().create_task(self._send(batch), context=apart())
            self._batches.add(task)
            task.add_done_callback(lambda done: self._sent(done, place, queue))
        if not queue.waiting and not queue.batches:
            self._queues.pop(place, None)

    def _next(self, queue: _Queue) -> list[_Asked]:
        """Takes the next batch. Questions that nobody waits for any more are dropped."""
        batch: list[_Asked] = []
        size = 0
        while queue.waiting and len(batch) < ACTS_MAX and size < BYTES_MAX:
            asked = queue.waiting.popleft()
            self._waiting -= 1
            if all(answer.done() for answer in asked.answers):
                self._landed(asked)
                continue
            size += len(asked.act.value) if isinstance(asked.act, CacheSet) else 0
            batch.append(asked)
        return batch

    async def _send(self, batch: list[_Asked]) -> None:
        outcomes: list[CacheOutcome]
        try:
            outcomes = await self._store.batch([asked.act for asked in batch])
        except OssaError as error:
            outcomes = [StoreUnavailable(error.message, retry_after_s=error.retry_after_s)] * len(batch)
        except BaseException:
            self._land(batch, [StoreUnavailable("The cache was closed.")] * len(batch))
            raise
        self._land(batch, outcomes)

    def _sent(self, task: asyncio.Task[None], place: str, queue: _Queue) -> None:
        self._batches.discard(task)
        queue.batches -= 1
        if not queue.woken:
            self._send_some(place, queue)

    def _land(self, batch: Iterable[_Asked], outcomes: Iterable[CacheOutcome]) -> None:
        for asked, outcome in zip(batch, outcomes, strict=True):
            self._landed(asked)
            for answer in asked.answers:
                if answer.done():
                    continue
                if isinstance(outcome, StoreUnavailable):  # each gets its own: a traceback grows where it is raised
                    answer.set_exception(StoreUnavailable(outcome.message, retry_after_s=outcome.retry_after_s))
                else:
                    answer.set_result(outcome)

    def _landed(self, asked: _Asked) -> None:
        if isinstance(asked.act, CacheGet) and self._gets.get(asked.act) is asked:
            del self._gets[asked.act]
