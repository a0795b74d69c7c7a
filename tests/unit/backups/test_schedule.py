"""A backup when one is due, WAL all the time, and no failure that ends it."""

from __future__ import annotations

from datetime import datetime, timedelta

from ossa.backups.schedule import BackupSchedule
from ossa.contracts.backups import BackupSet, Reach
from ossa.contracts.errors import StoreUnavailable
from tests.unit.backups.test_retention import NOW, made


class FakeBackups:
    """Keeps what it was asked; `away`, `gap` say what is wrong."""

    def __init__(self, *sets: BackupSet) -> None:
        self.all = list(sets)
        self.asked: list[str] = []
        self.away = False
        self.gap = False

    def now(self, *, archive: bool = False) -> BackupSet:
        self.asked.append("now")
        self.gap = False
        self.all.append(made(0))
        return self.all[-1]

    def archive(self) -> Reach:
        self.asked.append("archive")
        if self.away:
            raise StoreUnavailable("away")
        return Reach(until=NOW, timeline=1, segment="0" * 24)

    def sets(self) -> tuple[list[BackupSet], list[str]]:
        if self.away:
            raise StoreUnavailable("away")
        return self.all, []

    def broken(self, of: BackupSet) -> bool:
        return self.gap


class Counted:
    def __init__(self) -> None:
        self.last: BackupSet | None = None
        self.until: datetime | None = None
        self.failures: list[str] = []

    def made(self, last: BackupSet) -> None:
        self.last = last

    def reached(self, until: datetime) -> None:
        self.until = until

    def failed(self, step: str) -> None:
        self.failures.append(step)


def schedule(backups: FakeBackups, meters: Counted, later_h: float = 0.0) -> BackupSchedule:
    now = NOW + timedelta(hours=later_h)
    return BackupSchedule(backups, meters, every_hours=24, wal_every_s=60, now=lambda: now)


def test_a_backup_is_made_when_there_is_none_when_it_is_time_and_when_wal_is_missing() -> None:
    backups, meters = FakeBackups(), Counted()
    schedule(backups, meters).round()
    assert backups.asked == ["archive", "now"]
    schedule(backups, meters, 23.9).round()
    assert backups.asked == ["archive", "now", "archive"]
    schedule(backups, meters, 24.0).round()
    assert backups.asked[3:] == ["archive", "now"]
    backups.gap = True
    schedule(backups, meters).round()
    assert backups.asked[5:] == ["archive", "now"]
    assert (meters.last, meters.until, meters.failures) == (backups.all[-1], NOW, [])


def test_what_fails_is_counted_and_tried_again() -> None:
    backups, meters = FakeBackups(made(1)), Counted()
    backups.away = True
    schedule(backups, meters).round()
    assert meters.failures == ["archive", "backup"]
    backups.away = False
    schedule(backups, meters).round()
    assert meters.until == NOW
    assert meters.failures == ["archive", "backup"]
