"""Reads that tolerate lag: lists and reports. From a replica that is proved to be near enough, else from the primary.

What a caller must find as it wrote it (a task by its id, fences, claims, balances) is never read here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import LiteralString

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.postgres.connection import Params, Reader, Row
from ossa.stores.postgres.lag import Mark, Progress, current_as_of, near_enough, still_useful
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.session import Session

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Where primary and replicas are; a quarter of the bound where that is less."""

REST_S = 10.0
"""After a replica failed, before it is asked again."""


class Lists:
    """Of a process, over one or more replicas. Without any all reads go to the primary.

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
        self._marking = False
        self._seen: dict[str, tuple[float, Progress]] = {}
        self._rests_until = 0.0
        self.served = {"replica": 0, "primary": 0}
        """Reads by where they went."""

    async def rows(self, query: LiteralString, params: Params | None = None, *, tenant: str | None = None) -> list[Row]:
        """All rows; raises as `Reader.rows`."""
        if self._replica is not None and self._clock() >= self._rests_until:
            found = await self._from_replica(self._replica, query, params, tenant)
            if found is not None:
                self.served["replica"] += 1
                return found
        self.served["primary"] += 1
        return await self._primary.rows(query, params, tenant=tenant)

    async def close(self) -> None:
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

        await self._mark()
        try:
            return await replica.run(read)
        except StoreUnavailable as error:
            logger.warning("replica_passed_over", extra={"reason": error.message})
            self._rests_until = self._clock() + REST_S
            return None

    async def _mark(self) -> None:
        """Note where the primary is, when the last note is old. One caller does, the others go by what is known."""
        now = self._clock()
        if self._marking or (self._marks and now - self._marks[-1].at < self._every_s):
            return
        self._marking = True
        try:
            row = await self._primary.row(self._sql["mark"])
        finally:
            self._marking = False
        if row is not None:
            mark = Mark(at=now, timeline=row["timeline"], lsn=row["lsn"])
            self._marks = [*still_useful(self._marks, now=now, bound_s=self._bound_s), mark]

    async def _is_near(self, session: Session) -> bool:
        """By what this very server said last, when that is not old, else by what it says now."""
        looked_at, progress = self._seen.get(session.place, (0.0, None))
        now = self._clock()
        if progress is None or now - looked_at >= self._every_s or not self._proved(progress, now):
            row = await (await session.execute(self._sql["progress"], binary=True)).fetchone()
            assert row is not None
            progress = Progress(timeline=row["timeline"], lsn=row["lsn"])
            self._seen[session.place] = (now, progress)
        return self._proved(progress, now)

    def _proved(self, progress: Progress, now: float) -> bool:
        return near_enough(current_as_of(self._marks, progress), now=now, bound_s=self._bound_s)
