"""Backups of a PostgreSQL of the user's, by Barman: base and WAL come over the replication protocol.

    FOLDER/barman/            for one server, `ossa`
    ├── barman.conf, pgpass   0600; written anew by each backup, round and restore
    ├── reach.json            up to which time everything committed is here
    ├── sha256/SEGMENT        of its file in Barman's archive; a segment without that is not there yet
    └── data/ossa/            Barman's own: base/ID/data, wals/

Nothing has to be installed or configured where PostgreSQL runs, but for a role that may do it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from getpass import getuser
from pathlib import Path
from time import monotonic, sleep

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ossa.contracts.backups import BackupDamaged, BackupFile, Base, Reach, Until
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.events import Fact
from ossa.contracts.value import Progress
from ossa.embedded.postgres import find_postmaster
from ossa.stores.backups import base_copy, wal
from ossa.stores.backups.lock import exclusive_lock
from ossa.stores.backups.programs import RecoveryFailed, programs, recovered, run
from ossa.stores.backups.server import finish_segment, server_facts, slot_is_active, tell, write_wal
from ossa.stores.objects.blobs import ObjectBlobs

NAME = "ossa"
SLOT = "ossa_backup"
CLUSTER = Path("postgres/cluster")
"""In a home that was restored: the folder of data that the user's PostgreSQL is started with."""

COMMAND_S = 120.0
LONG_S = 24 * 3600.0
HANDED_OVER_S = 120.0
POLL_S = 0.2
FETCHED = "barman_wal"
"""In a restored folder: where Barman has PostgreSQL look for WAL."""
_MISSING = "ossa_missing"
_DIGESTS = "sha256"


class BarmanBackups(wal.WalArchive):
    """`ossa.contracts.backups.BackupEngine`.

    Args:
        folder: for all that Barman keeps; on a disk of this machine.
        dsn: of a superuser, or a role with REPLICATION and what Barman's manual asks for. A secret.
        home: of the fleet, for locks.
        streams: leave Barman's receiver of WAL running, and its replication slot in place.
        bin_dir: PostgreSQL's programs; empty: Debian's, of the server's version.
    """

    name = "barman"

    def __init__(self, folder: Path, *, dsn: str, home: Path, streams: bool, bin_dir: str = "") -> None:
        self._folder = folder / "barman"
        self._data = self._folder / "data" / NAME
        super().__init__(ObjectBlobs(str(self._folder)), "reach.json", carried=False)
        self._dsn = dsn
        self._home = home
        self._streams = streams
        self._bin_dir = bin_dir

    def __repr__(self) -> str:
        return f"BarmanBackups({str(self._folder)!r})"

    def tell(self, facts: Sequence[Fact]) -> None:
        tell(self._dsn, facts)

    def take(self, id: str, progress: Progress) -> Base:
        began, version, system_id, schema = server_facts(self._dsn)
        self._configure()
        try:
            progress("starting to receive WAL")
            self._bring(self._receive())
            progress("copying PostgreSQL")
            self._barman("backup", "--wait", NAME, what="The copy failed", limit_s=LONG_S)
            self._note()
        finally:
            if not self._streams:
                self._leave()
        ended = server_facts(self._dsn)[0]
        infos = self._infos()
        reference = max(name for name, info in infos.items() if info.get("status") == "DONE")
        said = infos[reference]
        progress("checking the copy")
        files = tuple(_files(self._base(reference)))
        return Base(
            engine=self.name,
            reference=reference,
            server_version=version,
            schema_version=schema,
            system_id=system_id,
            timeline=int(said["timeline"]),
            start_lsn=said["begin_xlog"],
            stop_lsn=said["end_xlog"],
            started_at=began,
            ended_at=ended,
            segment_bytes=int(said["xlog_segment_size"]),
            size=sum(file.size for file in files),
            files=files,
        )

    def archive(self) -> Reach:
        now = server_facts(self._dsn)[0]
        self._configure()
        with exclusive_lock(self._home, "wal", wait_s=HANDED_OVER_S):
            last = self._receive()
            self._bring(last)
            return self._note_reach(Reach(until=now, timeline=int(last[:8], 16), segment=last))

    def lay(self, base: Base, home: Path, *, until: Until, progress: Progress, replacing: Callable[[], None]) -> None:
        segments, missing = self._wanted_until(base, until)
        if until != "base":
            base_copy.check_time(until, missing, self.reach())
        elif missing is not None:
            raise BackupDamaged(
                f"WAL segment {missing} is missing, without which the copy is not whole.", param=missing
            )
        progress("reading the copy of PostgreSQL")
        self._check_base(base)
        target = home / CLUSTER
        if find_postmaster(target) is not None:
            raise Conflict(f"A PostgreSQL runs in {target}: stop it first.", param="into")
        fresh = target.with_name("cluster.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fill(fresh, base, until, segments, progress)
            (fresh / _MISSING).write_text(missing or "")
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        replacing()
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)

    def halt(self, home: Path) -> None:
        left = find_postmaster(home / CLUSTER)
        if left is not None:
            left.stop()

    def _fill(self, fresh: Path, base: Base, until: Until, segments: Sequence[str], progress: Progress) -> None:
        """Has Barman copy, for its settings and tablespaces. The WAL is what was checked, whatever Barman lists."""
        home = fresh.parent.parent
        self._configure()
        for parent in (home, fresh.parent):
            parent.chmod(parent.stat().st_mode | 0o011)  # the server's user has to pass
        progress("copying it, and its WAL")
        options = ["--target-action", "promote"] if until != "newest" else []
        if isinstance(until, datetime):
            options += ["--target-time", until.isoformat(sep=" ")]
        elif until == "base":
            options += ["--target-immediate", "--target-tli", str(base.timeline)]
        what = "Barman could not restore"
        self._barman("recover", *options, NAME, base.reference, str(fresh), what=what, limit_s=LONG_S)
        shutil.rmtree(fresh / FETCHED, ignore_errors=True)
        (fresh / FETCHED).mkdir()
        for name in segments:
            (fresh / FETCHED / name).write_bytes(wal.inflated(self._segment(name, base.segment_bytes)))
        for name in self._archived():
            if wal.history_of(name):
                (fresh / FETCHED / name).write_bytes(wal.inflated(self._whole_file(name)))

    @contextmanager
    def recover(self, home: Path, *, until: Until, progress: Progress) -> Iterator[str]:
        cluster, log = home / CLUSTER, home / "postgres" / "restore.log"
        version = int((cluster / "PG_VERSION").read_text())
        bin_dir = programs(self._bin_dir, version)
        progress("starting PostgreSQL, which replays its WAL")
        missing = (cluster / _MISSING).read_text()
        try:
            with recovered(cluster, bin_dir, log, limit_s=LONG_S) as port:
                yield self._at(port)
        except RecoveryFailed as error:
            said = str(error.details["log"])
            base_copy.explain(said, until, missing, error)
            base_copy.without_time(cluster)
            with recovered(cluster, bin_dir, log, limit_s=LONG_S) as port:
                yield self._at(port)
        base_copy.finished(cluster)
        (cluster / _MISSING).unlink()
        log.unlink(missing_ok=True)

    def discard(self, home: Path) -> None:
        shutil.rmtree(home / CLUSTER.parent, ignore_errors=True)

    def remove(self, gone: Sequence[Base], kept: Sequence[Base]) -> None:
        """Also deletes what a killed backup left: this Barman serves nobody else. It drops the WAL by itself."""
        names = {base.reference for base in kept}
        if names:
            for name in self._infos():
                if name not in names:
                    self._barman("delete", NAME, name, what="Barman could not delete")
            self._notes.delete(f"{_DIGESTS}/{name}" for name in wal.unneeded(self._digests(), kept))

    def stop(self) -> None:
        """No receiver and no slot is left. WAL from now on is not archived."""
        if (self._folder / "barman.conf").exists():
            self._leave()

    def _configure(self) -> None:
        """Raises `StoreUnavailable` where Barman is not installed."""
        if shutil.which("barman") is None:
            raise StoreUnavailable(
                "Barman is not installed: apt-get install barman, or pip install barman (with psycopg2)."
            )
        bin_dir = programs(self._bin_dir)
        (self._folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        info = {name: str(value) for name, value in conninfo_to_dict(self._dsn).items() if value is not None}
        password, passfile = info.pop("password", ""), self._folder / "pgpass"
        _write_private(passfile, f"*:*:*:*:{_escaped(password)}\n")
        connection = make_conninfo("", **{**info, "passfile": str(passfile)})
        lines = {
            "description": "OSSA",
            "conninfo": connection,
            "streaming_conninfo": connection,
            "backup_method": "postgres",
            "streaming_archiver": "on",
            "archiver": "off",
            "slot_name": SLOT,
            "create_slot": "auto",
            "path_prefix": str(bin_dir),
            "compression": "gzip",
            "immediate_checkpoint": "true",
        }
        common = {
            "barman_user": getuser(),
            "barman_home": str(self._folder / "data"),
            "barman_lock_directory": str(self._folder / "data"),
            "log_file": str(self._folder / "barman.log"),
        }
        text = "".join(f"{name} = {value}\n" for name, value in common.items())
        text = f"[barman]\n{text}[{NAME}]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())
        _write_private(self._folder / "barman.conf", text)

    def _receive(self) -> str:
        """See that the receiver runs; the last segment that the server has finished."""
        if not slot_is_active(self._dsn, SLOT):
            self._barman("cron", what="Barman could not start to receive WAL")
        deadline = monotonic() + HANDED_OVER_S
        while not slot_is_active(self._dsn, SLOT):  # what is finished before is not for it
            if monotonic() > deadline:
                raise StoreUnavailable(f"Barman does not receive WAL: {self._folder / 'barman.log'} says why.")
            sleep(POLL_S)
        return finish_segment(self._dsn)[0]

    def _bring(self, last: str) -> None:
        """Wait until it is in the archive."""
        deadline = monotonic() + HANDED_OVER_S
        pushed = False
        while last not in self._arrived():
            if monotonic() > deadline:
                raise StoreUnavailable(
                    f"PostgreSQL's WAL ({last}) does not arrive: {self._folder / 'barman.log'} says why."
                )
            received = [path.name for path in (self._data / "streaming").glob("*")]
            if last in received and any(name > last for name in received):
                self._barman("archive-wal", NAME, what="Barman could not archive WAL")
            elif last in received and not pushed:
                write_wal(self._dsn)  # Barman leaves a segment alone until the next one comes
                pushed = True
            else:
                sleep(POLL_S)
        self._note()

    def _note(self) -> None:
        """From now on what has arrived counts."""
        known = set(self._digests())
        for name, path in self._arrived().items():
            if name not in known and (wal.is_segment(name) or wal.history_of(name)):
                self._notes.put(f"{_DIGESTS}/{name}", _digest(path).encode(), fresh=True)

    def _leave(self) -> None:
        self._barman("receive-wal", "--stop", NAME, what="Barman could not stop receiving", anyway=True)
        self._barman("receive-wal", "--drop-slot", NAME, what="Barman could not drop its slot", anyway=True)

    def _infos(self) -> dict[str, dict[str, str]]:
        """Returns Barman's notes of each copy, by its name for it."""
        infos = {}
        for file in (self._data / "base").glob("*/backup.info"):
            lines = (line.partition("=") for line in file.read_text().splitlines())
            infos[file.parent.name] = {name: value for name, _, value in lines}
        return infos

    def _barman(self, *arguments: str, what: str, limit_s: float = COMMAND_S, anyway: bool = False) -> str:
        try:
            return run(["barman", "-c", self._folder / "barman.conf", *arguments], what=what, limit_s=limit_s)
        except StoreUnavailable:
            if anyway:
                return ""
            raise

    def _arrived(self) -> dict[str, Path]:
        return {path.name: path for path in (self._data / "wals").rglob("*") if path.is_file()}

    def _digests(self) -> list[str]:
        return [Path(blob.path).name for blob in self._notes.list(_DIGESTS)]

    def _archived(self) -> list[str]:
        arrived = self._arrived()
        return [name for name in self._digests() if name in arrived]

    def _wanted_until(self, base: Base, until: Until) -> tuple[list[str], str | None]:
        """As `wal.wanted`; for the base alone what makes it consistent: Barman copies no WAL with it."""
        names = self._archived()
        if until != "base":
            return self._wanted(base, self._course(base, names), names)
        own = [name for name in names if wal.number_on(base, name) <= wal.last_of(base)]
        least = wal.segment_name(base.timeline, wal.last_of(base), base.segment_bytes)
        return wal.wanted(base, self._course_to(base.timeline, names), own, least=least, carried=False)

    def _read(self, name: str) -> tuple[bytes, bytes]:
        """Barman deflates what it archives, under the same name."""
        try:
            return self._arrived()[name].read_bytes(), self._notes.get(f"{_DIGESTS}/{name}")
        except (KeyError, FileNotFoundError) as error:
            raise NotFound(f"Barman has no {name}.") from error

    def _base(self, reference: str) -> Path:
        return self._data / "base" / reference

    def _check_base(self, base: Base) -> None:
        """Raises `BackupDamaged` with the first file that is not what was written."""
        folder = self._base(base.reference)
        for file in base.files:
            try:
                digest = _digest(folder / file.path)
            except FileNotFoundError as error:
                raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
            if digest != file.sha256:
                raise BackupDamaged(f"{file.path} is damaged: its sha256 is another one.", param=file.path)

    def _at(self, port: int) -> str:
        gone = ("hostaddr", "target_session_attrs", "sslmode", "sslrootcert", "sslcert", "sslkey", "options")
        info = {name: value for name, value in conninfo_to_dict(self._dsn).items() if name not in gone}
        return make_conninfo("", **{**info, "host": "127.0.0.1", "port": port})


def barman_folder(url: str) -> Path:
    """Raises `InvalidRequest` for what is no folder."""
    if "://" in url and not url.startswith("file://"):
        raise InvalidRequest(
            "Barman keeps the backups of a PostgreSQL of yours in a folder: set OSSA_BACKUP__URL to one.",
            param="backup.url",
        )
    return Path(url.removeprefix("file://")).expanduser().absolute()


def _files(folder: Path) -> Iterator[BackupFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield BackupFile(path=str(path.relative_to(folder)), size=path.stat().st_size, sha256=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _escaped(password: str) -> str:
    """As a line of a password file has it."""
    return password.replace("\\", "\\\\").replace(":", "\\:")
