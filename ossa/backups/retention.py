"""What may go, and when the next backup is due. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from ossa.contracts.backups import BackupSet, Blob


def expired(sets: Sequence[BackupSet], *, now: datetime, keep_days: float) -> list[BackupSet]:
    """Sets that no time within the window needs: all that ended before it, but for the newest of those.

    That one is where replaying begins for the window's first hours; where it is the last one of all, it stays too.
    """
    begins = now - timedelta(days=keep_days)
    before = sorted((one for one in sets if one.ended_at < begins), key=lambda one: one.ended_at)
    return before[:-1]


def unneeded_objects(there: Sequence[Blob], listed: Collection[str], kept: Sequence[BackupSet]) -> list[str]:
    """Objects that no kept set lists. One that came after the oldest of them began stays: times between may need it."""
    if not kept:
        return []
    oldest = min(one.started_at for one in kept)
    return [blob.path for blob in there if blob.path not in listed and blob.modified < oldest]


def is_due(last: datetime | None, *, now: datetime, every_hours: float) -> bool:
    return last is None or now - last >= timedelta(hours=every_hours)


def base_for(sets: Sequence[BackupSet], at: datetime) -> BackupSet | None:
    """The newest that had ended by then."""
    before = [one for one in sets if one.base.ended_at <= at]
    return max(before, key=lambda one: one.base.ended_at, default=None)
