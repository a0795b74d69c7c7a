"""Backups of a PostgreSQL of the user's, by Barman: base and WAL come over the replication protocol.

    FOLDER/barman/            all Barman's own; made for one server, `ossa`
    ├── barman.conf, pgpass   0600
    └── data/ossa/            base/ID/data, wals/

Nothing has to be installed or configured where PostgreSQL runs, but for a role that may do it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from getpass import getuser
from pathlib import Path
from time import monotonic, sleep

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ossa.contracts.backups import BackupDamaged, BackupFile, Base, Reach, Tell, Until
from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.stores.backups import recovery, wal
from ossa.stores.backups.alone import alone
from ossa.stores.backups.command import run
from ossa.stores.backups.facts import finish_segment, server_facts, slot_is_active
from ossa.stores.backups.tried import RecoveryFailed, programs, recovered

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


class BarmanBackups:
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
        self._dsn = dsn
        self._home = home
        self._streams = streams
        self._bin_dir = bin_dir

    def __repr__(self) -> str:
        return f"BarmanBackups({str(self._folder)!r})"

    def take(self, id: str, tell: Tell) -> Base:
        began, version, system_id, schema = server_facts(self._dsn)
        self._configure(version)
        try:
            tell("starting to receive WAL")
            self._bring(self._receive())
            tell("copying PostgreSQL")
            self._barman("backup", "--wait", NAME, what="The copy failed", limit_s=LONG_S)
        finally:
            if not self._streams:
                self._leave()
        ended = server_facts(self._dsn)[0]
        infos = self._infos()
        reference = max(name for name, info in infos.items() if info.get("status") == "DONE")
        said = infos[reference]
        tell("checking the copy")
        files = tuple(self._files(self._base(reference)))
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
        now, version, _, _ = server_facts(self._dsn)
        self._configure(version)
        with alone(self._home, "wal", wait_s=HANDED_OVER_S):
            last = self._receive()
            self._bring(last)
            reach = Reach(until=now, timeline=int(last[:8], 16), segment=last)
            draft = self._folder / "reach.json.new"
            draft.write_text(reach.model_dump_json())
            draft.replace(self._folder / "reach.json")
        return reach

    def reach(self) -> Reach | None:
        try:
            return Reach.model_validate_json((self._folder / "reach.json").read_bytes())
        except FileNotFoundError:
            return None

    def current(self, bases: Sequence[Base]) -> Sequence[Base]:
        course = self._newest()
        return [base for base in bases if course is None or course.holds(base)]

    def missing(self, base: Base) -> str | None:
        return wal.wanted(base, self._course(base), self._archived())[1]

    def check(self, base: Base, tell: Tell) -> int:
        found, missing = wal.wanted(base, self._course(base), self._archived())
        if missing is not None:
            raise BackupDamaged(f"WAL segment {missing} is missing, and later ones are there.", param=missing)
        archived = self._archived()
        for name in found:
            _check_segment(archived[name], base.segment_bytes)
        tell("reading the copy of PostgreSQL")
        self._check_base(base)
        return len(found)

    def lay(self, base: Base, home: Path, *, until: Until, tell: Tell) -> None:
        found, missing = ([], None) if until == "base" else wal.wanted(base, self._course(base), self._archived())
        recovery.check_time(until, missing, self.reach())
        archived = self._archived()
        for name in found:
            _check_segment(archived[name], base.segment_bytes)
        tell("reading the copy of PostgreSQL")
        self._check_base(base)
        target = home / CLUSTER
        fresh = target.with_name("cluster.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        for parent in (home, fresh.parent):
            parent.chmod(parent.stat().st_mode | 0o011)  # the server's user has to pass
        tell("copying it, and its WAL")
        options = ["--target-action", "promote"] if until != "newest" else []
        if isinstance(until, datetime):
            options += ["--target-time", until.isoformat(sep=" ")]
        elif until == "base":
            options += ["--target-immediate", "--target-tli", str(base.timeline)]
        what = "Barman could not restore"
        self._barman("recover", *options, NAME, base.reference, str(fresh), what=what, limit_s=LONG_S)
        _complete(fresh / FETCHED, [archived[name] for name in found])
        (fresh / _MISSING).write_text(missing or "")
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)

    @contextmanager
    def recover(self, home: Path, *, until: Until, tell: Tell) -> Iterator[str]:
        cluster, log = home / CLUSTER, home / "postgres" / "restore.log"
        version = int((cluster / "PG_VERSION").read_text())
        bin_dir = programs(self._bin_dir, version)
        tell("starting PostgreSQL, which replays its WAL")
        missing = (cluster / _MISSING).read_text()
        try:
            with recovered(cluster, bin_dir, log, limit_s=LONG_S) as port:
                yield self._at(port)
        except RecoveryFailed as error:
            said = str(error.details["log"])
            recovery.explain(said, until, missing, error)
            recovery.without_time(cluster)
            with recovered(cluster, bin_dir, log, limit_s=LONG_S) as port:
                yield self._at(port)
        recovery.finished(cluster)
        (cluster / _MISSING).unlink()
        log.unlink(missing_ok=True)

    def discard(self, home: Path) -> None:
        shutil.rmtree(home / CLUSTER.parent, ignore_errors=True)

    def remove(self, gone: Sequence[Base], kept: Sequence[Base]) -> None:
        """What a killed backup left goes too: Barman is ours alone. It drops the WAL by itself."""
        names = {base.reference for base in kept}
        if names:
            for name in self._infos():
                if name not in names:
                    self._barman("delete", NAME, name, what="Barman could not delete")

    def stop(self) -> None:
        """No receiver and no slot is left. WAL from now on is not archived."""
        if (self._folder / "barman.conf").exists():
            self._leave()

    def _configure(self, version: int) -> None:
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
        while last not in self._archived():
            if (self._data / "streaming" / last).exists():
                self._barman("archive-wal", NAME, what="Barman could not archive WAL")
            elif monotonic() > deadline:
                raise StoreUnavailable(
                    f"PostgreSQL's WAL ({last}) does not arrive: {self._folder / 'barman.log'} says why."
                )
            else:
                sleep(POLL_S)

    def _leave(self) -> None:
        self._barman("receive-wal", "--stop", NAME, what="Barman could not stop receiving", anyway=True)
        self._barman("receive-wal", "--drop-slot", NAME, what="Barman could not drop its slot", anyway=True)

    def _infos(self) -> dict[str, dict[str, str]]:
        """What Barman wrote down of each copy, by its name for it."""
        found = {}
        for file in (self._data / "base").glob("*/backup.info"):
            lines = (line.partition("=") for line in file.read_text().splitlines())
            found[file.parent.name] = {name: value for name, _, value in lines}
        return found

    def _barman(self, *arguments: str, what: str, limit_s: float = COMMAND_S, anyway: bool = False) -> str:
        try:
            return run(["barman", "-c", self._folder / "barman.conf", *arguments], what=what, limit_s=limit_s)
        except StoreUnavailable:
            if anyway:
                return ""
            raise

    def _archived(self) -> dict[str, Path]:
        return {path.name: path for path in (self._data / "wals").rglob("*") if path.is_file()}

    def _newest(self) -> wal.Course | None:
        names = self._archived()
        timelines = [found for name in names if (found := wal.history_of(name))]
        timelines += [int(name[:8], 16) for name in names if wal.is_segment(name)]
        return self._course_to(max(timelines), names) if timelines else None

    def _course(self, base: Base) -> wal.Course:
        newest = self._newest()
        return newest if newest and newest.holds(base) else self._course_to(base.timeline, self._archived())

    def _course_to(self, timeline: int, names: dict[str, Path]) -> wal.Course:
        history = names.get(f"{timeline:08X}.history")
        return wal.course_to(timeline, _inflated(history).decode() if history else "")

    def _base(self, reference: str) -> Path:
        return self._data / "base" / reference / "data"

    def _files(self, folder: Path) -> Iterator[BackupFile]:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as data:
                    digest = hashlib.file_digest(data, "sha256").hexdigest()
                yield BackupFile(path=str(path.relative_to(folder)), size=path.stat().st_size, sha256=digest)

    def _check_base(self, base: Base) -> None:
        """Raises `BackupDamaged` with the first file that is not what was written."""
        folder = self._base(base.reference)
        for file in base.files:
            try:
                with (folder / file.path).open("rb") as data:
                    found = hashlib.file_digest(data, "sha256").hexdigest()
            except FileNotFoundError as error:
                raise BackupDamaged(f"{file.path} is missing.", param=file.path) from error
            if found != file.sha256:
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


def _check_segment(file: Path, size: int) -> None:
    """Raises `BackupDamaged` for one that is not whole."""
    if len(_inflated(file)) != size:
        raise BackupDamaged(f"WAL segment {file.name} is damaged.", param=file.name)


def _complete(folder: Path, segments: Sequence[Path]) -> None:
    """Where one is missing, Barman leaves others out too."""
    if segments:
        folder.mkdir(exist_ok=True)
    for segment in segments:
        if not (folder / segment.name).exists():
            (folder / segment.name).write_bytes(_inflated(segment))


def _inflated(file: Path) -> bytes:
    """Barman deflates what it archives, under the same name. Raises `BackupDamaged`."""
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BackupDamaged(f"WAL segment {file.name} is damaged.", param=file.name) from error


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _escaped(password: str) -> str:
    """As a line of a password file has it."""
    return password.replace("\\", "\\\\").replace(":", "\\:")
