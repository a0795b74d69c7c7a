"""While a fleet runs: WAL goes to the archive all the time, backups are made when due, and what may go is removed.

One step after the other, in a thread. What fails is logged, counted and tried again at the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ossa.contracts.backups import BackupSet, Blob, Reach


def expired(sets: Sequence[BackupSet], *, now: datetime, keep_days: float) -> list[BackupSet]:
    """Sets that no time within the window needs: all that ended before it, but for the newest of those.

    That one is where replaying begins for the window's first hours; where it is the last one of all, it stays too.
    """
    begins = now - timedelta(days=keep_days)
    before = sorted((backup for backup in sets if backup.ended_at < begins), key=lambda backup: backup.ended_at)
    return before[:-1]


def unneeded_objects(there: Sequence[Blob], listed: Collection[str], kept: Sequence[BackupSet]) -> list[str]:
    """Objects that no kept set lists. One that came after the oldest of them began stays: times between may need it."""
    if not kept:
        return []
    oldest = min(backup.started_at for backup in kept)
    return [blob.path for blob in there if blob.path not in listed and blob.modified < oldest]


def is_due(last: datetime | None, *, now: datetime, every_hours: float) -> bool:
    return last is None or now - last >= timedelta(hours=every_hours)


def base_for(sets: Sequence[BackupSet], at: datetime) -> BackupSet | None:
    """The newest that had ended by then."""
    before = [backup for backup in sets if backup.base.ended_at <= at]
    return max(before, key=lambda backup: backup.base.ended_at, default=None)


log = logging.getLogger(__name__)


class Scheduled(Protocol):
    """The part of `Backups` that a schedule needs."""

    def now(self, *, archive: bool = False) -> BackupSet: ...

    def archive(self) -> Reach: ...

    def sets(self) -> tuple[list[BackupSet], list[str]]: ...

    def broken(self, of: BackupSet) -> bool: ...


class BackupMeters(Protocol):
    def made(self, last: BackupSet) -> None:
        """The newest there is."""

    def reached(self, until: datetime) -> None: ...

    def failed(self, step: str) -> None: ...


class BackupSchedule:
    """Args:
    every_hours: between two backups. One whose WAL has a gap does not count: another is made at once.
    wal_every_s: between two rounds.
    now: with a time zone.
    """

    def __init__(
        self,
        backups: Scheduled,
        meters: BackupMeters,
        *,
        every_hours: float,
        wal_every_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._backups = backups
        self._meters = meters
        self._every_hours = every_hours
        self._wal_every_s = wal_every_s
        self._now = now

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.to_thread(self.round)
            await asyncio.sleep(self._wal_every_s)

    def round(self) -> None:
        """Once. Raises nothing."""
        self._try("archive", self._archive)
        self._try("backup", self._back_up)

    def _archive(self) -> None:
        self._meters.reached(self._backups.archive().until)

    def _back_up(self) -> None:
        sets, _ = self._backups.sets()
        last = sets[-1] if sets else None
        due = is_due(last.ended_at if last else None, now=self._now(), every_hours=self._every_hours)
        if last is None or due or self._backups.broken(last):
            last = self._backups.now(archive=True)
        self._meters.made(last)

    def _try(self, step: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # a loop's boundary
            log.exception("backup_failed", extra={"step": step, "reason": str(error)[:200]})
            self._meters.failed(step)
