"""The end of the fact log, as one process sees it: how far the log is settled, and the rows that came last.

A position is settled when no row can appear at or before it any more. Positions are dense, so rows are settled up to
the first one that is missing. A missing one is waited for as long as the transaction that took it may run; one of a
transaction that was rolled back is passed over once all are gone that held a lock on the log when it was missing, and a
row after it is there. Not before: only a commit makes the sequence durable, and without one a server that crashed hands
out the same number again.

A server that was started since, or a standby that leads now, may lack rows that were settled: the end is found anew.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import LogItem
from ossa.stores.postgres.connection import Reader, Row
from ossa.stores.postgres.queries import load_queries

_FRESH_S = 0.003
"""What was looked at so lately is not looked at again, unless this process has written since."""

_IDLE_S = 1.0
_WALK_ROWS = 20_000
"""After so long without a look the end is found anew, where it is farther than so many rows."""

_BEGIN_S = 0.25

_MISSING_S = 0.02
"""A row that is missing longer than this is asked for by locks. Most come within a few milliseconds."""

_ROWS = 1_000
_KEPT_ROWS = 2_000

_MOVES = 3

Decode = Callable[[Row], tuple[LogItem, ...]]


@dataclass(slots=True)
class _Doubt:
    """Numbers up to `last` are settled, present or not, once none of `writers` runs any more."""

    server: str
    last: int
    writers: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Kept:
    position: int
    tasks: bool
    items: tuple[LogItem, ...]


class _Moved(Exception):
    """Another server answers than the one whose end was known."""


class FactTail:
    """One look serves all who ask at that time."""

    def __init__(self, reader: Reader, decode: Decode) -> None:
        self._reader = reader
        self._decode = decode
        self._sql = load_queries("facts.sql")
        self.stale = True
        """Whether this process has written since the last look began."""
        self.server = ""
        """Names the life of the server whose end this is."""
        self._settled: int | None = None
        self._looked_at = -_IDLE_S
        self._missing_since: float | None = None
        self._doubt: _Doubt | None = None
        self._looking: asyncio.Task[int] | None = None
        self._base = 0
        self._rows: list[_Kept] = []

    async def settled(self) -> int:
        """The last settled position, after a look. Raises `StoreUnavailable`."""
        if self._settled is not None and not self.stale and monotonic() - self._looked_at < _FRESH_S:
            return self._settled
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    def recent(self, first: int, *, limit: int, tasks: bool) -> list[tuple[int, tuple[LogItem, ...]]] | None:
        """The first settled rows from position `first` on; None where rows that old are not kept here."""
        if first <= self._base:
            return None
        found = []
        for row in self._rows[bisect_left(self._rows, first, key=lambda row: row.position) :]:
            if tasks or not row.tasks:
                found.append((row.position, row.items))
                if len(found) == limit:
                    break
        return found

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def _looked(self, look: asyncio.Task[int]) -> None:
        self._looking = None
        if not look.cancelled():
            look.exception()  # whoever waited has it

    async def _look(self) -> int:
        self.stale = False
        for _ in range(_MOVES):
            try:
                if self._settled is not None and monotonic() - self._looked_at > _IDLE_S and await self._is_far():
                    self._forget()
                settled = await self._walk()
            except _Moved:
                continue
            self._looked_at = monotonic()
            return settled
        raise StoreUnavailable("PostgreSQL is moving to another server.", retry_after_s=1.0)

    async def _is_far(self) -> bool:
        assert self._settled is not None
        return self._of(self.server, await self._writers()).last - self._settled > _WALK_ROWS

    async def _begin(self) -> None:
        """Find the end by the locks alone: all that was handed out is settled once its writers are gone.

        Raises `StoreUnavailable` where one of them takes long and the log is too long to be walked.
        """
        self._forget()
        doubt = await self._writers()
        running, end = doubt.writers, monotonic() + _BEGIN_S
        while running and monotonic() < end:
            await asyncio.sleep(_FRESH_S)
            running &= self._of(doubt.server, await self._writers()).writers
        ends = await self._reader.row(self._sql["ends"], {"last": doubt.last})
        assert ends is not None
        self._same(doubt.server, ends["server"])
        base = ends["newest"] or 0
        if running:
            base = ends["oldest"] - 1 if ends["oldest"] else 0
            if doubt.last - base > _WALK_ROWS:
                raise StoreUnavailable("A transaction that writes facts takes long.", retry_after_s=1.0)
        self.server, self._base, self._settled = doubt.server, base, base

    async def _walk(self) -> int:
        while True:
            if self._settled is None:
                await self._begin()
            assert self._settled is not None
            dead_up_to = await self._cleared()
            rows = await self._reader.rows(self._sql["look"], {"after": self._settled, "limit": _ROWS})
            self._same(self.server, rows[0]["server"])
            rows = [row for row in rows if row["position"] is not None]
            taken = self._take(rows, dead_up_to)
            if taken < len(rows) or len(rows) < _ROWS:
                await self._miss(missing=taken < len(rows))
                return self._settled

    def _take(self, rows: list[Row], dead_up_to: int) -> int:
        """Settles rows up to the first that is missing; returns how many."""
        assert self._settled is not None
        for number, row in enumerate(rows):
            if row["position"] > max(self._settled, dead_up_to) + 1:
                self._settled = max(self._settled, dead_up_to)
                return number
            self._settled = row["position"]
            self._rows.append(_Kept(row["position"], row["tasks"], self._decode(row)))
        if len(self._rows) > 2 * _KEPT_ROWS:
            self._base = self._rows[-_KEPT_ROWS - 1].position
            del self._rows[:-_KEPT_ROWS]
        return len(rows)

    async def _miss(self, *, missing: bool) -> None:
        """Notes since when something is missing, and in the end who may still write it."""
        if not missing:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = monotonic()
        elif self._doubt is None and monotonic() - self._missing_since > _MISSING_S:
            self._doubt = self._of(self.server, await self._writers())

    async def _cleared(self) -> int:
        """The number up to which nothing comes any more, present or missing; 0: not known."""
        if self._doubt is None:
            return 0
        doubt = self._doubt
        if doubt.writers:
            doubt.writers &= self._of(self.server, await self._writers()).writers
        if doubt.writers:
            return 0
        self._doubt, self._missing_since = None, None
        return doubt.last

    async def _writers(self) -> _Doubt:
        row = await self._reader.row(self._sql["writers"])
        assert row is not None
        return _Doubt(row["server"], row["last"], frozenset(row["writers"]))

    def _of(self, server: str, doubt: _Doubt) -> _Doubt:
        self._same(server, doubt.server)
        return doubt

    def _same(self, known: str, server: str) -> None:
        if server != known:
            self._forget()
            raise _Moved

    def _forget(self) -> None:
        self._settled, self._doubt, self._missing_since = None, None, None
        self._rows.clear()
