"""Reads that tolerate lag: lists and reports. From a replica that is proved to be near enough, else from the primary.

What a caller must find as it wrote it (a task by its id, fences, claims, balances) is never read here.

The proof: a process notes rising numbers in a row of its own on the primary, with the time by its own clock. Once a
replica shows a number, all that was committed by that time can be read from it. No two machines' clocks are compared,
and no positions in a journal that begins another timeline with each failover. An idle primary is no special case, and
neither is a replica that is cut off and believes itself up to date: its proof grows old.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import LiteralString

from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.contracts.origin import apart
from ossa.stores.postgres.connection import Params, Reader, Row, Session
from ossa.stores.postgres.queries import load_queries


@dataclass(frozen=True, slots=True)
class Mark:
    """Noted on the primary; `at` is before it was sent."""

    at: float
    number: int


def current_as_of(marks: Sequence[Mark], shown: int) -> float | None:
    """The latest noted moment of which all commits can be read where `shown` is; None: none is proved."""
    return max((mark.at for mark in marks if mark.number <= shown), default=None)


def near_enough(as_of: float | None, *, now: float, bound_s: float) -> bool:
    return as_of is not None and now - as_of <= bound_s


def still_useful(marks: Sequence[Mark], *, now: float, bound_s: float) -> list[Mark]:
    """Without those that could prove nothing within the bound any more."""
    return [mark for mark in marks if now - mark.at <= bound_s]


logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""A note on the primary, and a look at the replica; a quarter of the bound where that is less."""

BEHIND_S = 1.0
"""How long a replica that refuses a statement is left alone: tables that were just made have not come to it yet."""

REST_S = 10.0
"""After a replica failed, before it is asked again."""


class Lists:
    """The reads of one process, over one or more replicas. Without a replica all reads go to the primary.

    Args:
        replica: gives up at the first failure, so that the primary is asked soon.
        bound_s: how old what is read may be, at most.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        primary: Reader,
        replica: Reader | None = None,
        *,
        bound_s: float = 0.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._bound_s = bound_s
        self._every_s = min(LOOK_EVERY_S, bound_s / 4)
        self._clock = clock
        self._sql = load_queries("lists.sql")
        self._marks: list[Mark] = []
        self._marking: asyncio.Task[None] | None = None
        self._number = 0
        self._reader = secrets.token_hex(8)
        self._seen: dict[str, tuple[float, int]] = {}
        self._rests_until = 0.0
        self.served = {"replica": 0, "primary": 0}
        """Reads by where they went."""

    async def rows(self, query: LiteralString, params: Params | None = None, *, tenant: str | None = None) -> list[Row]:
        """All rows; raises as `Reader.rows`."""
        if self._replica is not None and self._clock() >= self._rests_until:
            rows = await self._from_replica(self._replica, query, params, tenant)
            if rows is not None:
                self.served["replica"] += 1
                return rows
        self.served["primary"] += 1
        return await self._primary.rows(query, params, tenant=tenant)

    async def close(self) -> None:
        if self._marking is not None:
            self._marking.cancel()
            await asyncio.gather(self._marking, return_exceptions=True)
        if self._replica is not None:
            await self._replica.close()

    async def _from_replica(
        self, replica: Reader, query: LiteralString, params: Params | None, tenant: str | None
    ) -> list[Row] | None:
        """None: the primary is to be asked."""

        async def read(session: Session) -> list[Row] | None:
            if not await self._is_near(session):
                return None
            return await replica.fetch(session, query, params, tenant=tenant)

        self._mark_when_due()
        try:
            return await replica.run(read)
        except OssaError as error:
            logger.warning("replica_passed_over", extra={"reason": error.message})
            self._rests_until = self._clock() + (REST_S if isinstance(error, StoreUnavailable) else BEHIND_S)
            return None

    def _mark_when_due(self) -> None:
        """Beside the reads: none waits for it, and while the primary is away they go on within the bound."""
        due = not self._marks or self._clock() - self._marks[-1].at >= self._every_s
        if due and (self._marking is None or self._marking.done()):
            self._marking = asyncio.create_task(self._mark(), name="replica-mark", context=apart())

    async def _mark(self) -> None:
        self._number += 1
        mark = Mark(at=self._clock(), number=self._number)
        try:
            await self._primary.execute(self._sql["mark"], {"reader": self._reader, "number": mark.number})
        except OssaError as error:
            logger.warning("replica_not_marked", extra={"reason": error.message})
            return
        self._marks = [*still_useful(self._marks, now=self._clock(), bound_s=self._bound_s), mark]

    async def _is_near(self, session: Session) -> bool:
        """Judges by what this very server showed last when that is fresh, else asks it again."""
        now = self._clock()
        looked_at, shown = self._seen.get(session.place, (now, None))
        if shown is None or now - looked_at >= self._every_s or not self._proved(shown, now):
            row = await (await session.execute(self._sql["shown"], {"reader": self._reader}, binary=True)).fetchone()
            shown = int(row["number"]) if row is not None else 0
            self._seen[session.place] = (now, shown)
        return self._proved(shown, now)

    def _proved(self, shown: int, now: float) -> bool:
        return near_enough(current_as_of(self._marks, shown), now=now, bound_s=self._bound_s)
