"""Backups of one fleet: make, list, restore, verify, and let go of what nobody needs. Blocking."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ossa.backups.catalogue import LIST, POOL, SETS, Catalogue, Listed, ObjectPool, packed
from ossa.backups.schedule import base_for, expired, unneeded_objects
from ossa.backups.telling import of_failure, of_made, of_removed, of_restored, try_to
from ossa.contracts.backups import (
    BackupDamaged,
    BackupEngine,
    BackupFile,
    BackupSet,
    Blobs,
    Reach,
    Restored,
    RestoredStore,
    Until,
    Verified,
)
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound
from ossa.contracts.value import Progress

RESTORING = "restoring"


def mark(home: Path) -> None:
    """On the disk when it returns."""
    with (home / RESTORING).open("w") as file:
        file.write("A restore of this home has not come to its end.\n")
        file.flush()
        os.fsync(file.fileno())
    _force(home)


def unmark(home: Path) -> None:
    (home / RESTORING).unlink(missing_ok=True)
    _force(home)


def is_marked(home: Path) -> bool:
    return (home / RESTORING).exists()


def refuse_marked(home: Path) -> None:
    """Raises `Conflict`. For whoever is about to work on a home."""
    if is_marked(home):
        raise Conflict(
            f"A restore of {home} was ended half-way: what is there is not whole. "
            f"`ossa backup restore --into {home} --force` does it again."
        )


def _force(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


log = logging.getLogger(__name__)

WORK = ".backup"
VECTORS = Path("memory/vectors")

ExclusiveLock = Callable[[Path, str], AbstractContextManager[Path]]
"""The work folder of a home, while nobody else is at this of it. Raises `Conflict`."""


def _now() -> datetime:
    return datetime.now(UTC)


class Backups:
    """Args:
    home: of the fleet.
    engine: for its PostgreSQL.
    vault: where sets go.
    objects: the memory's cold storage of a home.
    restored: reads a PostgreSQL that was brought back.
    exclusive_lock: see `ExclusiveLock`.
    runs: whether a fleet runs in a home.
    progress: hears of each stage, for people.
    """

    def __init__(
        self,
        home: Path,
        *,  # parameters: each is a part that the composition root hands in and that tests replace alone
        engine: BackupEngine,
        vault: Blobs,
        objects: Callable[[Path], Blobs],
        restored: RestoredStore,
        exclusive_lock: ExclusiveLock,
        runs: Callable[[Path], bool],
        keep_days: float,
        version: str,
        now: Callable[[], datetime] = _now,
        progress: Progress = lambda _: None,
    ) -> None:
        self._home = home
        self._engine = engine
        self._vault = vault
        self._objects = objects
        self._restored = restored
        self._exclusive_lock = exclusive_lock
        self._runs = runs
        self._keep_days = keep_days
        self._version = version
        self._now = now
        self._progress = progress
        self._catalogue = Catalogue(vault)
        self._pool = ObjectPool(vault)

    def now(self, *, archive: bool = False) -> BackupSet:
        """Make one, then let go of what nobody needs. `archive`: and bring the WAL until now to the archive.

        Raises `StoreUnavailable`, `Conflict`; then there is no new set.
        """
        refuse_marked(self._home)
        with self._exclusive_lock(self._home, "backup") as work:
            try:
                made = self._make(work)
            except Exception as error:
                try_to(self._engine.tell, [of_failure(error)])
                raise
            gone: list[str] = []
            try:
                if archive:
                    self._engine.archive()
                self._progress("letting go of what nobody needs")
                self._let_go(gone)
            finally:
                try_to(self._engine.tell, [of_made(made), *map(of_removed, gone)])
            return made

    def _make(self, work: Path) -> BackupSet:
        _clear(work)
        started = self._now()
        id = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._progress("copying cold memories")
        sets = self._catalogue.sets()
        known = self._catalogue.objects(sets[-1]) if sets else {}
        source = self._objects(self._home)
        listed = self._pool.take(source, known)
        base = self._engine.take(id, self._progress)
        # Again: what became cold while PostgreSQL was copied is cold in the copy.
        listed |= self._pool.take(source, listed)
        data = packed(listed)
        file = BackupFile(path=f"{SETS}/{id}/{LIST}", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        self._vault.put(file.path, data)
        made = BackupSet(
            id=id,
            started_at=started,
            ended_at=self._now(),
            ossa_version=self._version,
            base=base,
            objects=len(listed),
            objects_bytes=sum(file_copied.size for file_copied in listed.values()),
            files=(file,),
        )
        self._catalogue.add(made)
        log.info("backup_made", extra={"backup": id, "bytes": made.size})
        return made

    def archive(self) -> Reach:
        """Everything until now: WAL, and what became cold. Raises `StoreUnavailable`, `Conflict`."""
        refuse_marked(self._home)
        self._pool.take(self._objects(self._home), {})
        return self._engine.archive()

    def stop(self) -> None:
        """End what `archive` began: from now on no WAL is taken."""
        self._engine.stop()

    def sets(self) -> tuple[list[BackupSet], list[str]]:
        """The oldest first; and the ids of those whose manifest cannot be read."""
        return self._catalogue.all()

    def reach(self) -> Reach | None:
        return self._engine.reach()

    def broken(self, of: BackupSet) -> bool:
        """Whether its WAL cannot be replayed until now."""
        return not self._engine.current([of.base]) or self._engine.missing(of.base) is not None

    def restore(self, into: Path, *, id: str | None, at: datetime | None, force: bool) -> Restored:
        """Bring a home back: as it was then, at the end of that set, or as far as there is anything.

        Raises `Conflict` for a home that is in use or not empty, `NotFound`, `InvalidRequest`, `BackupDamaged`. What
        was in the home before is then as it was, or the home is marked as unfinished: no fleet starts from it, and
        another restore replaces it.
        """
        self._refuse(into, force)
        chosen, until = self._chosen(id, at)
        with self._exclusive_lock(into, "backup") as work:
            _clear(work)
            self._progress(f"restoring backup {chosen.id}")
            listed = self._listed(chosen)
            if is_marked(into):
                self._engine.halt(into)
            self._engine.lay(chosen.base, into, until=until, progress=self._progress, replacing=lambda: mark(into))
            shutil.rmtree(into / VECTORS, ignore_errors=True)  # another time's; the sweeper makes it anew
            with self._engine.recover(into, until=until, progress=self._progress) as dsn:
                restored = self._settle(chosen, listed, into, dsn)
            unmark(into)
        shutil.rmtree(into / WORK, ignore_errors=True)
        log.info("backup_restored", extra={"backup": chosen.id, "into": str(into)})
        return restored

    def verify(self, id: str | None) -> Verified:
        """Read all of a set (the newest), restore it to a scratch folder, start it there and read every row.

        Raises `NotFound`, and `BackupDamaged` with the first thing that is not as it was.
        """
        of = self._catalogue.set(id) if id is not None else self._newest(none_damaged=True)
        with self._exclusive_lock(self._home, "backup") as work:
            _clear(work)
            self._progress("reading the WAL")
            segments = self._engine.check(of.base, self._progress)
            self._progress("reading cold memories")
            listed = self._catalogue.objects(of)
            self._pool.check(listed.values())
            scratch = Path(tempfile.mkdtemp(prefix="verify-", dir=work))
            scratch.chmod(0o711)
            try:
                self._engine.lay(of.base, scratch, until="base", progress=self._progress, replacing=lambda: None)
                with self._engine.recover(scratch, until="base", progress=self._progress) as dsn:
                    schema, rows = self._restored.schema_version(dsn), self._restored.rows(dsn)
                    lost = [row.path for row in self._restored.cold(dsn) if row.path not in listed]
            finally:
                self._engine.discard(scratch)
                shutil.rmtree(scratch, ignore_errors=True)
            reach = self._engine.reach()
            verified = Verified(
                id=of.id,
                at=self._now(),
                schema_version=schema,
                rows=rows,
                objects=len(listed),
                wal_segments=segments,
                reach=reach.until if reach else None,
            )
            self._compare(of, verified, lost)
            return verified

    def _listed(self, of: BackupSet) -> Listed:
        """Returns the list of a set's cold memories. A damaged list is empty: each object is then checked by itself."""
        try:
            return self._catalogue.objects(of)
        except BackupDamaged as error:
            self._progress(f"{error} Cold memories are looked for one by one")
            return {}

    def _settle(self, chosen: BackupSet, listed: Listed, into: Path, dsn: str) -> Restored:
        at = self._restored.last_commit(dsn)
        self._progress("bringing back cold memories")
        target, lost, given = self._objects(into), [], 0
        for row in self._restored.cold(dsn):
            if self._pool.give(row.path, target, listed.get(row.path)):
                given += 1
            else:
                lost.append(f"{row.tenant}/{row.id}")
        self._restored.renew(dsn)
        restored = Restored(
            id=chosen.id,
            into=str(into),
            at=at,
            schema_version=self._restored.schema_version(dsn),
            rows=self._restored.rows(dsn),
            objects=given,
            lost_objects=tuple(lost),
        )
        try_to(partial(self._restored.tell, dsn), [of_restored(restored)])
        return restored

    def _compare(self, of: BackupSet, verified: Verified, lost: list[str]) -> None:
        if verified.schema_version != of.base.schema_version:
            raise BackupDamaged(f"Its schema is version {verified.schema_version}, not {of.base.schema_version}.")
        if lost:
            raise BackupDamaged(f"{len(lost)} cold memories have no object in it, such as {lost[0]}.", param=lost[0])
        before = self._catalogue.verified(of.id)
        if before is None:
            self._catalogue.note(verified)
        elif before.rows != verified.rows:
            changed = sorted(
                name for name in before.rows | verified.rows if before.rows.get(name) != verified.rows.get(name)
            )
            raise BackupDamaged(f"It has other rows than when it was verified first, in {', '.join(changed)}.")

    def _refuse(self, into: Path, force: bool) -> None:
        if into.exists() and not into.is_dir():
            raise Conflict(f"{into} is no folder.", param="into")
        if self._runs(into):
            raise Conflict(f"A fleet runs in {into}: `OSSA_HOME={into} ossa down` stops it.", param="into")
        if not force and into.exists() and any(entry.name != WORK for entry in into.iterdir()):
            raise Conflict(
                f"{into} is not empty: name another folder, or --force to replace what is there.", param="into"
            )

    def _chosen(self, id: str | None, at: datetime | None) -> tuple[BackupSet, Until]:
        if at is not None and at > self._now():
            raise InvalidRequest(f"{at.isoformat()} has not come yet.", param="to")
        if id is not None:
            of = self._catalogue.set(id)
            if at is not None and at < of.base.ended_at:
                raise InvalidRequest(
                    f"Backup {id} ended at {of.base.ended_at.isoformat()}: it cannot go back to {at.isoformat()}.",
                    param="to",
                )
            return of, at or "base"
        if at is None:
            return self._newest(), "newest"
        newest = base_for(self._current(), at)
        if newest is None:
            raise NotFound(f"No backup had ended by {at.isoformat()}: `ossa backup list` shows what there is.")
        return newest, at

    def _newest(self, *, none_damaged: bool = False) -> BackupSet:
        """Nobody can tell whether one whose manifest is damaged is newer. Raises `BackupDamaged`, `NotFound`."""
        sets, damaged = self._current(), self._catalogue.all()[1]
        if damaged and (none_damaged or not sets):
            self._catalogue.set(damaged[-1])
        if not sets:
            raise NotFound(f"There is no backup in {self._vault.url}: `ossa backup now` makes one.")
        return sets[-1]

    def _current(self) -> list[BackupSet]:
        sets = self._catalogue.sets()
        current = {base.reference for base in self._engine.current([backup.base for backup in sets])}
        return [backup for backup in sets if backup.base.reference in current]

    def _let_go(self, removed: list[str]) -> None:
        """Removes what is too old, and puts the ids of backups that went into `removed`."""
        sets, damaged = self._catalogue.all()
        if damaged:  # nobody knows what WAL and objects they need
            log.warning("backups_not_expired", extra={"damaged": damaged})
            return
        gone = expired(sets, now=self._now(), keep_days=self._keep_days)
        kept = [backup for backup in sets if backup not in gone]
        for backup in gone:
            self._catalogue.remove(backup.id)
            removed.append(backup.id)
            log.info("backup_expired", extra={"backup": backup.id})
        for id in self._catalogue.abandoned(self._now()):
            self._catalogue.remove(id)
        self._engine.remove([backup.base for backup in gone], [backup.base for backup in kept])
        listed = {file.path for backup in kept for file in self._catalogue.objects(backup).values()}
        self._vault.delete(unneeded_objects(self._vault.list(POOL), listed, kept))


def _clear(work: Path) -> None:
    """Removes what a killed backup left."""
    for left in work.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
