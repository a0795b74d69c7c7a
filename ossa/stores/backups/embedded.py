"""Backups of the embedded PostgreSQL, by PostgreSQL's own means, into a folder or an object storage.

    URL/
    ├── server.json           whose backups these are
    ├── sets/ID/              base.tar.gz, pg_wal.tar.gz, backup_manifest, password; the set's own files beside them
    └── wal/
        ├── reach.json        up to which time everything committed is here
        └── SEGMENT.gz        and, once it is whole, SEGMENT.gz.sha256 of its bytes; without that it is not there

The server copies WAL that is finished into a folder of its own (`EmbeddedPostgres.keep_wal`); `archive` takes it from
there. A base carries the WAL that makes it consistent, so that it can be restored without the archive.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psycopg

from ossa.contracts.backups import BackupDamaged, BackupFile, Base, Blobs, Reach, Until, sealed, unsealed
from ossa.contracts.errors import Conflict, NotFound, StoreUnavailable
from ossa.contracts.events import Fact
from ossa.contracts.value import Progress, Value
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.embedded.postgres_layout import Layout
from ossa.embedded.postgres_programs import find_binaries
from ossa.stores.backups import base_copy, wal
from ossa.stores.backups.base_copy import MANIFEST, PARTS, unpack, wal_range
from ossa.stores.backups.lock import exclusive_lock, work_folder
from ossa.stores.backups.programs import run
from ossa.stores.backups.server import finish_segment, is_handed_over, server_facts, tell, write_wal

log = logging.getLogger(__name__)

COPY_S = 24 * 3600.0
RECOVER_S = 24 * 3600.0
HANDED_OVER_S = 60.0
POLL_S = 0.05
POSTGRES_DIR = "postgres"
PASSWORD = "password"

UNREADABLE = (OSError, EOFError, zlib.error)
"""Errors that `gzip` raises for damaged data."""

DIGEST = ".sha256"
_SERVER = "server.json"


class _Server(Value):
    system_id: str


class EmbeddedBackups(wal.WalArchive):
    """`ossa.contracts.backups.BackupEngine`.

    Args:
        home: of the fleet; its PostgreSQL is in the folder `postgres`.
        vault: where backups go.
        keeps: a home that is restored hands over its WAL from the first record on.
    """

    name = "embedded"

    def __init__(self, home: Path, vault: Blobs, *, keeps: bool) -> None:
        super().__init__(vault, "wal/reach.json", carried=True)
        self._home = home
        self._vault = vault
        self._keeps = keeps

    def take(self, id: str, progress: Progress) -> Base:
        with self._served() as dsn, self._scratch() as scratch:
            began, version, system_id, schema = server_facts(dsn)
            self._claim(system_id)
            progress("copying PostgreSQL")
            parts = scratch / "parts"
            _copy(dsn, parts, id)
            ended = server_facts(dsn)[0]
            timeline, start, stop = wal_range(parts / MANIFEST)
            shutil.copyfile(Layout(server_dir(self._home)).password_file, parts / PASSWORD)
            progress(f"writing it to {self._vault.url}")
            files = tuple(self._put(f"sets/{id}/{part.name}", part) for part in sorted(parts.iterdir()))
        return Base(
            engine=self.name,
            reference=id,
            server_version=version,
            schema_version=schema,
            system_id=system_id,
            timeline=timeline,
            start_lsn=start,
            stop_lsn=stop,
            started_at=began,
            ended_at=ended,
            size=sum(file.size for file in files),
            files=files,
        )

    def archive(self) -> Reach:
        server = EmbeddedPostgres(server_dir(self._home))
        if not server.running:
            raise StoreUnavailable(f"The PostgreSQL of {self._home} does not run: its WAL cannot be taken.")
        with exclusive_lock(self._home, "wal", wait_s=HANDED_OVER_S):
            return self._archive(server.keep_wal(), server.start())

    def _archive(self, folder: Path, dsn: str) -> Reach:
        now, _, system_id, _ = server_facts(dsn)
        self._claim(system_id)
        for history in (Layout(server_dir(self._home)).cluster / "pg_wal").glob("*.history"):
            # Of a restore, from before the server handed anything over.
            self._ship_one(history.name, history.read_bytes())
        last, _ = finish_segment(dsn)
        deadline = monotonic() + HANDED_OVER_S
        while True:
            handed_over = is_handed_over(dsn, last)
            if self._ship(folder, last):
                break
            if handed_over:  # to another archive, before this one was chosen
                write_wal(dsn)
                last, _ = finish_segment(dsn)
            elif monotonic() > deadline:
                raise StoreUnavailable(
                    f"PostgreSQL does not hand over its WAL ({last}): {Layout(server_dir(self._home)).log} says why."
                )
            sleep(POLL_S)
        return self._note_reach(Reach(until=now, timeline=int(last[:8], 16), segment=last))

    def check(self, base: Base, progress: Progress) -> int:
        if self._owner() != _Server(system_id=base.system_id):
            raise BackupDamaged(f"{_SERVER} names another PostgreSQL than the backup is of.", param=_SERVER)
        return super().check(base, progress)

    def lay(self, base: Base, home: Path, *, until: Until, progress: Progress, replacing: Callable[[], None]) -> None:
        names = self._archived()
        segments: list[str] = []
        missing = None
        if until == "base":
            course = self._course_to(base.timeline, names)
        else:
            course = self._course(base, names)
            segments, missing = self._wanted(base, course, names)
            base_copy.check_time(until, missing, self.reach())
        with self._scratch(home) as scratch:
            progress("reading the copy of PostgreSQL")
            for file in base.files:
                self._get(file, scratch / Path(file.path).name)

            def fill(cluster: Path) -> None:
                progress("unpacking and checking it")
                unpack(scratch, cluster)
                fetched = cluster / base_copy.FETCHED
                shutil.rmtree(fetched, ignore_errors=True)
                fetched.mkdir()
                if segments:
                    progress(f"reading {len(segments)} WAL segments")
                for name in segments:
                    (fetched / f"{name}.gz").write_bytes(self._segment(name, base.segment_bytes))
                for name in filter(wal.history_of, names):
                    (fetched / f"{name}.gz").write_bytes(self._whole_file(name))
                (fetched / base_copy.MISSING).write_text(missing or "")
                base_copy.prepare(cluster, until=until, timeline=course.steps[-1][0])

            password = (scratch / PASSWORD).read_text().strip()
            server = EmbeddedPostgres(server_dir(home))
            server.install(fill, password=password, replacing=replacing)
            if self._keeps:
                server.keep_wal()

    def halt(self, home: Path) -> None:
        EmbeddedPostgres(server_dir(home)).stop()

    @contextmanager
    def recover(self, home: Path, *, until: Until, progress: Progress) -> Iterator[str]:
        server, layout = EmbeddedPostgres(server_dir(home), start_s=RECOVER_S), Layout(server_dir(home))
        progress("starting PostgreSQL, which replays its WAL")
        try:
            dsn = _recovered(server, layout, until)
            base_copy.finished(layout.cluster)
            shutil.rmtree(layout.cluster / base_copy.FETCHED)
            yield dsn
        finally:
            server.stop()

    def stop(self) -> None:
        """The server goes on handing over what it has finished, until `EmbeddedPostgres.drop_wal`."""

    def discard(self, home: Path) -> None:
        EmbeddedPostgres(server_dir(home)).erase()

    def remove(self, gone: Sequence[Base], kept: Sequence[Base]) -> None:
        self._vault.delete(blob.path for base in gone for blob in self._vault.list(f"sets/{base.reference}"))
        for name in wal.unneeded(self._archived(), kept):
            self._vault.delete((f"wal/{name}.gz{DIGEST}", f"wal/{name}.gz"))

    def tell(self, facts: Sequence[Fact]) -> None:
        with self._served() as dsn:
            tell(dsn, facts)

    @contextmanager
    def _served(self) -> Iterator[str]:
        """The server's DSN; one that did not run is stopped again."""
        server = EmbeddedPostgres(server_dir(self._home))
        if not Layout(server_dir(self._home)).exists:
            raise StoreUnavailable(f"There is no PostgreSQL in {self._home} yet: nothing can be backed up.")
        ran = server.running
        try:
            yield server.start()
        finally:
            if not ran:
                server.stop()

    @contextmanager
    def _scratch(self, home: Path | None = None) -> Iterator[Path]:
        """A folder on a home's disk."""
        made = Path(tempfile.mkdtemp(prefix="parts-", dir=work_folder(home or self._home)))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _claim(self, system_id: str) -> None:
        """Raises `Conflict` for another server's vault: what lies there is never mixed."""
        mine = _Server(system_id=system_id)
        if self._vault.put(_SERVER, sealed(mine), fresh=True):
            return
        if self._owner() != mine:
            raise Conflict(
                f"{self._vault.url} has the backups of another PostgreSQL: set OSSA_BACKUP__URL to a place of its own.",
                param="backup.url",
            )

    def _owner(self) -> _Server:
        """Raises `BackupDamaged`."""
        try:
            return unsealed(_Server, self._vault.get(_SERVER))
        except (NotFound, ValueError) as error:
            raise BackupDamaged(f"{_SERVER}, which says whose backups these are, cannot be read.", param=_SERVER) from (
                error
            )

    def _ship(self, folder: Path, last: str) -> bool:
        """Moves finished WAL to the vault. Returns whether everything up to `last` is there."""
        for file in sorted(folder.iterdir()):
            if wal.is_segment(file.name) or wal.history_of(file.name):
                self._ship_one(file.name, file.read_bytes())
                file.unlink()
            elif file.suffix != ".part":
                file.unlink()  # a note on a base, which has its own
        return not (folder / last).exists() and last in self._archived()

    def _ship_one(self, name: str, data: bytes) -> None:
        packed = gzip.compress(data, 6, mtime=0)
        if not self._vault.put(f"wal/{name}.gz", packed, fresh=True):
            packed = self._known(name, data)
        self._vault.put(f"wal/{name}.gz{DIGEST}", hashlib.sha256(packed).hexdigest().encode(), fresh=True)

    def _known(self, name: str, data: bytes) -> bytes:
        """Returns a file that a killed process stored before. Raises `Conflict` where it belongs to another server."""
        packed = self._vault.get(f"wal/{name}.gz")
        try:
            same = gzip.decompress(packed) == data
        except UNREADABLE:
            same = False
        if not same:
            raise Conflict(
                f"{self._vault.url} has another {name} already: a second PostgreSQL archives there, or it is damaged. "
                "Set OSSA_BACKUP__URL to a place of its own.",
                param="backup.url",
            )
        return packed

    def _archived(self) -> list[str]:
        there = {Path(blob.path).name for blob in self._vault.list("wal")}
        return sorted(name.removesuffix(".gz") for name in there if name.endswith(".gz") and name + DIGEST in there)

    def _read(self, name: str) -> tuple[bytes, bytes]:
        return self._vault.get(f"wal/{name}.gz"), self._vault.get(f"wal/{name}.gz{DIGEST}")

    def _put(self, path: str, file: Path) -> BackupFile:
        with file.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        self._vault.put_file(path, file)
        return BackupFile(path=path, size=file.stat().st_size, sha256=digest)

    def _get(self, file: BackupFile, to: Path) -> None:
        """Raises `BackupDamaged` for a file that is gone or not what was written."""
        try:
            digest = self._vault.fetch(file.path, to)
        except NotFound as error:
            raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
        if digest != file.sha256:
            raise BackupDamaged(f"{file.path} is damaged: its sha256 is another one.", param=file.path)


def server_dir(home: Path) -> Path:
    return home / POSTGRES_DIR


def _copy(dsn: str, to: Path, label: str) -> None:
    """Copies over the replication protocol, with the WAL that makes it consistent; PostgreSQL checks its pages."""
    with psycopg.connect(dsn) as connection:
        info = connection.info
        where = ["--host", info.host, "--port", str(info.port), "--username", info.user]
        password = info.password
    options = [
        "--pgdata",
        str(to),
        "--format=tar",
        "--gzip",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-password",
    ]
    named = ["--manifest-checksums=SHA256", "--label", f"ossa {label}"]
    program = find_binaries().program("pg_basebackup")
    run([program, *where, *options, *named], what="The copy failed", env={"PGPASSWORD": password}, limit_s=COPY_S)
    for name, _ in PARTS:
        if not (to / name).exists():
            raise StoreUnavailable(f"The copy failed: pg_basebackup made no {name}.")


def _recovered(server: EmbeddedPostgres, layout: Layout, until: Until) -> str:
    """Returns the DSN once the server has recovered and takes writes."""
    before = layout.log.stat().st_size if layout.log.exists() else 0
    try:
        return server.start()
    except StoreUnavailable as error:
        missing = (layout.cluster / base_copy.FETCHED / base_copy.MISSING).read_text()
        log_text = layout.log.read_bytes()
        fresh = log_text[before if before <= len(log_text) else 0 :].decode("utf-8", "replace")
        base_copy.explain(fresh, until, missing, error)
    base_copy.without_time(layout.cluster)
    return server.start()
