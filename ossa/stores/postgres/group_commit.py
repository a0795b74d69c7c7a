"""Many callers, one commit: concurrent journal writes go to the database together.

A write starts a batch at once when a lane is free; while both lanes are busy,
writes gather. So one caller alone waits for one round trip and one commit, and
many share them. Writes of one task are applied in the order they were called.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, LiteralString

from psycopg.rows import DictRow

from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.origin import apart
from ossa.resilience.backoff import Backoff
from ossa.stores.postgres.batch import Accept, Batch, Write, register_arrays
from ossa.stores.postgres.connection import Server, Session
from ossa.stores.postgres.failure import Remedy, reason, remedy, translate
from ossa.stores.postgres.queries import load_queries

logger = logging.getLogger(__name__)

ResolveConflict = Callable[[Write], Awaitable[bool]]
"""Asked, after the batch's commit, about a write that was not applied: whether to write it again.

Raises the `OssaError` its caller shall meet.
"""

_WAITING_BATCHES = 64
_JUDGEMENTS_MAX = 5
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_GRACE_S = 1.0


class GroupCommit:
    """Gathers writes into batches and runs them over a few lanes.

    Args:
        lanes: connections, and so batches in flight.
        batch_max: writes in one commit, at most.
        on_committed: called after each commit that told something; None: nothing is told.
    """

    def __init__(
        self,
        server: Server,
        *,
        lanes: int,
        batch_max: int,
        resolve_conflict: ResolveConflict,
        on_committed: Callable[[], None] | None = None,
    ) -> None:
        self._on_committed = on_committed
        self._resolve_conflict = resolve_conflict
        self._batch_max = batch_max
        self._waiting_max = batch_max * _WAITING_BATCHES
        self._waiting: deque[Write] = deque()
        self._writing: set[str] = set()
        self._idle = [_Lane(server) for _ in range(lanes)]
        self._lanes = tuple(self._idle)
        self._running: set[asyncio.Task[None]] = set()
        self._wake_pending = False
        self._closed = False

    def submit(self, write: Write) -> None:
        """Put it into the next batch. Raises `StoreUnavailable` when too many wait, or after `close`."""
        if self._closed:
            raise StoreUnavailable("The journal is closed.")
        if len(self._waiting) >= self._waiting_max:
            raise StoreUnavailable("Too many journal writes are waiting.", retry_after_s=1.0)
        self._waiting.append(write)
        if self._idle and not self._wake_pending:
            self._wake_pending = True
            asyncio.get_running_loop().call_soon(self._start_batches)

    async def close(self) -> None:
        """Write what waits, then close the lanes."""
        self._closed = True
        self._start_batches()
        while self._running:
            await asyncio.wait(self._running)
        for lane in self._lanes:
            await lane.close()

    def _start_batches(self) -> None:
        self._wake_pending = False
        while self._idle and self._waiting:
            batch = self._gather()
            if not batch:
                return
            self._run(self._write(self._idle.pop(), batch))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=apart())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _gather(self) -> Batch:
        batch = Batch(emits_events=self._on_committed is not None)
        later: list[Write] = []
        now = monotonic()
        while self._waiting and len(batch) < self._batch_max:
            write = self._waiting.popleft()
            if write.deadline < now:
                fail(write, StoreUnavailable("The journal did not answer in time.", retry_after_s=1.0))
            elif write.task_id in self._writing:
                later.append(write)
            else:
                self._writing.add(write.task_id)
                batch.writes.append(write)
        self._waiting.extendleft(reversed(later))
        return batch

    async def _write(self, lane: _Lane, batch: Batch) -> None:
        task_ids = [write.task_id for write in batch.writes]
        leftovers: Sequence[Write] = ()
        try:
            leftovers = await lane.run(batch)
            if self._on_committed is not None:
                self._on_committed()
        finally:
            self._writing.difference_update(task_ids)
            self._idle.append(lane)
            for write in leftovers:
                self._writing.add(write.task_id)  # later writes of this task wait until the conflict is resolved
                self._run(self._settle(write))
            self._start_batches()

    async def _settle(self, write: Write) -> None:
        again = False
        try:
            again = await self._resolve_conflict(write)
            if not again:
                succeed(write, datetime.min)
            elif write.tries >= _JUDGEMENTS_MAX:
                again = False
                fail(write, StoreUnavailable(f"{write.task_id} changes too often.", retry_after_s=1.0))
        except OssaError as error:
            fail(write, error)
        except Exception as error:  # a background task: the caller must hear of it
            logger.exception("journal_write_unsettled", extra={"task_id": write.task_id})
            fail(write, OssaError(f"The journal could not settle a write: {type(error).__name__}"))
        finally:
            write.tries += 1
            self._writing.discard(write.task_id)
            if again:
                self._waiting.appendleft(write)
            self._start_batches()


class _Lane:
    """One connection, one batch at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._conn: Session | None = None
        self._query: LiteralString = load_queries("journal.sql")["write"]

    async def run(self, batch: Batch) -> Sequence[Write]:
        """Every write's `done` is resolved, but for those returned: they were not applied."""
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, jitter=0.5)
        while True:
            try:
                row = await self._commit(batch)
            except Exception as error:  # noqa: BLE001 - the lane's boundary: whatever fails, each caller gets it
                found = remedy(error)
                logger.warning(
                    "journal_batch_failed",
                    extra={"remedy": found.name, "writes": len(batch), "reason": reason(error)},
                )
                if found not in (Remedy.RECONNECT, Remedy.REPEAT):
                    return await self._split(batch, translate(error))
                await self._after_failure(batch, lost=found is Remedy.RECONNECT)
                pause = backoff.next_s()
                _fail_overdue(batch, translate(error), after=pause)
                if not batch:
                    return ()
            else:
                return _resolve(batch, row)
            await asyncio.sleep(pause)

    async def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _commit(self, batch: Batch) -> DictRow:
        params = batch.params()
        if self._conn is None or self._conn.closed:
            self._conn = await self._server.connect()
            register_arrays(self._conn)
        async with asyncio.timeout(self._server.timeout_s + _GRACE_S):
            cursor = await self._conn.execute(self._query, params, prepare=True, binary=True)
            row = await cursor.fetchone()
        assert row is not None
        return row

    async def _after_failure(self, batch: Batch, *, lost: bool) -> None:
        for write in batch.writes:
            write.repeated = True
        if lost:
            await self.close()

    async def _split(self, batch: Batch, error: OssaError) -> Sequence[Write]:
        """One bad write must not fail the others."""
        if len(batch) == 1:
            fail(batch.writes[0], error)
            return ()
        first, second = batch.halves()
        return [*await self.run(first), *await self.run(second)]


def _resolve(batch: Batch, row: DictRow) -> Sequence[Write]:
    at: datetime = row["at"]
    accepted, written = row["accepted"] or (), row["written"] or ()
    if len(accepted) + len(written) == len(batch):
        for write in batch.writes:
            succeed(write, at)
        return ()
    applied_new, applied = set(accepted), set(written)
    leftovers = []
    for write in batch.writes:
        if write.task_id in (applied_new if isinstance(write, Accept) else applied):
            succeed(write, at)
        else:
            leftovers.append(write)
    return leftovers


def succeed(write: Write, at: datetime) -> None:
    """A caller that was cancelled has nobody to tell."""
    if not write.done.done():
        write.done.set_result(at)


def fail(write: Write, error: OssaError) -> None:
    if not write.done.done():
        write.done.set_exception(error)


def _fail_overdue(batch: Batch, error: OssaError, *, after: float) -> None:
    now = monotonic() + after
    for write in batch.writes:
        if write.deadline <= now:
            fail(write, error)
    batch.writes = [write for write in batch.writes if write.deadline > now]
