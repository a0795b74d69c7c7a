"""What backups promise, of every engine: the embedded PostgreSQL's own means, and Barman with Debian's PostgreSQL.

A past is made once and then lost: server, home and all. What the tests have is the vault alone.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ossa.app.backups import make_backups
from ossa.app.services import Services as FleetServices
from ossa.backups.service import Backups, is_marked
from ossa.contracts.backups import BackupDamaged, BackupSet
from ossa.contracts.configuration import Database
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.memory import KindRules, NewMemory, PlacementPolicy, Recall
from ossa.contracts.task import TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.memory.service import MemoryService
from ossa.memory.tiers import HotCopies, WarmVectors, memory_schema
from ossa.settings import Settings
from ossa.stores.backups import wal
from ossa.stores.backups.programs import programs, recovered
from ossa.stores.objects.memory import ObjectMemory
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores.tiers import MemoryVectors
from scripts.services import Services
from tests.contract.conftest import Made
from tests.unit.memory.worlds import WORDS, embed

COLD = PlacementPolicy(kinds={"*": KindRules(hot_idle_s=0.001, warm_idle_s=0.001)})
LEASE_S = 0.5


@dataclass
class Past:
    """What was written when, and the vault that is left of it."""

    engine: str
    folder: Path
    settings: dict[str, Any]
    started: Callable[[Path], AbstractContextManager[str]]
    task: str = ""
    backup: BackupSet | None = None
    times: dict[str, datetime] = field(default_factory=dict)

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    def backups(self, vault: Path | None = None) -> Backups:
        """From another machine: its home has nothing."""
        settings = {**self.settings, "backup": {**self.settings["backup"], "url": str(vault or self.vault)}}
        return make_backups(Settings(home=self.folder / "nowhere", **settings))

    def segments(self, vault: Path) -> dict[str, Path]:
        """By their names."""
        files = [path for path in vault.rglob("*") if path.is_file() and path.parent.name != "sha256"]
        return {path.name[:24]: path for path in files if wal.is_segment(path.name.removesuffix(".gz"))}


def memory_on(stores: PostgresStores, home: Path, policy: PlacementPolicy | None = None) -> MemoryService:
    vectors = WarmVectors(MemoryVectors(memory_schema(len(WORDS))))
    cold = ObjectMemory(f"file://{home / 'memory' / 'objects'}")
    return MemoryService(stores.memory, HotCopies(None, answer_s=1), vectors, cold, embed=embed, policy=policy)


async def write_the_past(dsn: str, home: Path, task: Any) -> None:
    """A task that a replica has, a cold memory, a warm one."""
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    try:
        await stores.journal.renew("gone", ttl_s=LEASE_S)
        await stores.journal.accept(task, owner="gone")
        memory = memory_on(stores, home, COLD)
        await memory.remember(NewMemory(id="frozen", content="a dog of long ago"), tenant="acme")
        while (await stores.memory.row("acme", "frozen")).tier != "cold":  # type: ignore[union-attr]
            await memory.sweep()
        await memory.remember(NewMemory(id="warm", content="cat cat"), tenant="acme")
    finally:
        await stores.close()


def write(dsn: str, what: str) -> datetime:
    """A row in a commit of its own; a time after it, and before whatever comes next."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS ossa.notes (what text)")
        connection.execute("INSERT INTO ossa.notes VALUES (%s)", (what,))
        time.sleep(0.02)
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        time.sleep(0.02)
    assert row is not None
    return row[0].astimezone(UTC)


def notes(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [what for (what,) in connection.execute("SELECT what FROM ossa.notes ORDER BY ctid")]


@contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    server = EmbeddedPostgres(home / "postgres")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["embedded", "barman"])
def past(request: pytest.FixtureRequest) -> Iterator[Past]:
    folder = open_folder()
    home = folder / "home"
    services = Services(folder / "services")
    if request.param == "embedded":
        server = EmbeddedPostgres(home / "postgres")
        dsn = server.start()
        server.keep_wal()
        made = Past("embedded", folder, {"backup": {"enabled": True}}, embedded_server)
    else:
        if shutil.which("barman") is None:
            pytest.skip("left out, not installed: Barman (Debian package barman; make services)")
        if services.missing("postgres"):
            pytest.skip("left out, not installed: Debian PostgreSQL (make services)")
        address = services.start("postgres")
        dsn = address.dsn
        settings = {"database": {"dsn": dsn}, "backup": {"dsn": address.admin, "enabled": True}}

        @contextmanager
        def started(of: Path) -> Iterator[str]:
            with recovered(of / "postgres/cluster", programs("", 15), of / "log", limit_s=60) as port:
                yield dsn.rpartition("@")[0] + f"@127.0.0.1:{port}/ossa"

        made = Past("barman", folder, settings, started)
    try:
        backups = make_backups(
            Settings(home=home, **{**made.settings, "backup": {**made.settings["backup"], "url": str(made.vault)}})
        )
        task = Made().task()
        made.task = task.id
        asyncio.run(write_the_past(dsn, home, task))
        write(dsn, "before")
        made.backup = backups.now(archive=True)
        made.times["A"] = write(dsn, "A")
        backups.archive()
        made.times["B"] = write(dsn, "B")
        backups.archive()
        made.times["C"] = write(dsn, "C")
        reach = backups.archive()
        made.times["end"] = reach.until
        backups.stop()
        if request.param == "embedded":
            server.erase()
        services.erase()
        shutil.rmtree(home)
        yield made
    finally:
        EmbeddedPostgres(home / "postgres").erase()
        services.erase()
        shutil.rmtree(folder)


def open_folder() -> Path:
    """As root PostgreSQL runs as somebody else, who may not pass through pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="ossa-backups-"))
    folder.chmod(0o711)
    return folder


@pytest.fixture
def into() -> Iterator[Path]:
    """A home to restore to. What it holds outside of it goes too."""
    folder = open_folder()
    yield folder / "restored"
    EmbeddedPostgres(folder / "restored" / "postgres").erase()
    shutil.rmtree(folder)


@pytest.fixture
def damaged(tmp_path: Path, past: Past) -> Path:
    """A vault to break."""
    shutil.copytree(past.vault, tmp_path / "vault")
    return tmp_path / "vault"


@contextmanager
def flipped(file: Path, at: int) -> Iterator[None]:
    """One byte is another one, for a while."""
    data = file.read_bytes()
    file.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at:][1:])
    yield
    file.write_bytes(data)


def test_a_lost_home_comes_back_as_it_was_at_a_time(past: Past, into: Path, damaged: Path) -> None:
    for mine in damaged.rglob("xlog.db"):
        mine.write_bytes(b"")
    found = past.backups(damaged).restore(into, id=None, at=past.times["A"], force=False)
    assert found.lost_objects == ()
    assert found.objects == 1
    assert found.at is not None and found.at <= past.times["A"]
    with past.started(into) as dsn:
        assert notes(dsn) == ["before", "A"]
        asyncio.run(look_at(dsn, into, past.task))
    assert {path.name for path in into.iterdir()} - {"log"} == {"postgres", "memory"}


async def look_at(dsn: str, home: Path, task: str) -> None:
    """Accepted work goes on, and the memory knows what it knew."""
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    try:
        await stores.journal.renew("new", ttl_s=30)
        (claimed,) = await stores.journal.claim(owner="new", limit=10)
        assert (claimed.id, claimed.status, claimed.fence) == (task, TaskStatus.RUNNING, 2)
        memory = memory_on(stores, home)
        before = [row.fence for id in ("frozen", "warm") if (row := await stores.memory.row("acme", id))]
        assert await memory.find(Recall(text="cat"), tenant="acme") == []  # the index is empty, as on a new machine
        await memory.sweep()
        assert [one.item.id for one in await memory.find(Recall(text="cat"), tenant="acme")] == ["warm"]
        assert (await memory.recall("frozen", tenant="acme")).content == "a dog of long ago"
        again = await memory.remember(NewMemory(id="warm", content="car"), tenant="acme")
        assert again.version > max(before) + 1_000_000  # none that was given after this time is given again
    finally:
        await stores.close()


def test_what_cannot_be_restored_is_said(past: Past, into: Path) -> None:
    assert past.backup is not None
    backups = past.backups()
    with pytest.raises(NotFound, match="No backup had ended by"):
        backups.restore(into, id=None, at=past.backup.started_at - timedelta(hours=1), force=False)
    with pytest.raises(InvalidRequest, match="archive of WAL goes to"):
        backups.restore(into, id=None, at=past.times["end"] + timedelta(seconds=0.5), force=False)
    with pytest.raises(InvalidRequest, match="has not come yet"):
        backups.restore(into, id=None, at=datetime.now(UTC) + timedelta(hours=1), force=False)
    with pytest.raises(NotFound, match=r"no backup '\.\./nope'"):
        backups.restore(into, id="../nope", at=None, force=False)
    with pytest.raises(InvalidRequest, match="cannot go back"):
        backups.restore(into, id=past.backup.id, at=past.backup.started_at, force=False)
    assert not into.exists() or list(into.iterdir()) in ([], [into / ".backup"])


def test_a_missing_segment_is_named(past: Past, into: Path, damaged: Path) -> None:
    """One in the middle, and the last one."""
    names = sorted(past.segments(damaged))
    backups = past.backups(damaged)
    for name in names[-2:]:
        file = past.segments(damaged)[name]
        aside = file.rename(damaged.with_name("aside"))
        with pytest.raises(BackupDamaged, match=f"{name} is missing"):
            backups.verify(None)
        with pytest.raises(BackupDamaged, match=f"{name} is missing"):
            backups.restore(into, id=None, at=None, force=False)
        aside.rename(file)
    assert not is_marked(into)


@pytest.mark.parametrize("past", ["embedded"], indirect=True)
def test_what_is_before_a_missing_segment_can_be_restored(past: Past, into: Path, damaged: Path) -> None:
    """The archive has a segment with A, one with B and one with C."""
    names = sorted(past.segments(damaged))
    past.segments(damaged)[names[-2]].unlink()
    backups = past.backups(damaged)
    with pytest.raises(BackupDamaged, match=f"{names[-2]} is missing; what is there before it ends at 20") as refused:
        backups.restore(into, id=None, at=past.times["C"], force=False)
    ends = str(refused.value).partition("ends at ")[2].partition(": ")[0]
    with pytest.raises(Conflict, match="ended half-way"):
        FleetServices(Settings(home=into)).start()
    backups.restore(into, id=None, at=datetime.fromisoformat(ends), force=True)
    with past.started(into) as dsn:
        assert notes(dsn) == ["before", "A"]


# What is left out is nobody's to rely on: Barman's settings and the password for it are written anew each time,
# `verified.json` is made again, and no list of Barman's is taken at its word
# (`test_a_lost_home_comes_back_as_it_was_at_a_time` has none).
CLAIMED = {
    "embedded": (
        "server.json",
        "manifest.json",
        "objects.json.gz",
        "objects/*/**/*",
        "base.tar.gz",
        "pg_wal.tar.gz",
        "backup_manifest",
        "password",
        "wal/*.gz",
        "wal/*.sha256",
        "wal/reach.json",
    ),
    "barman": ("manifest.json", "backup.info", "PG_VERSION", "wals/*/0*", "sha256/0*", "reach.json"),
}


def test_a_whole_backup_is_verified_and_one_byte_that_changed_is_found_in_every_kind_of_file(
    past: Past, damaged: Path
) -> None:
    backups = past.backups(damaged)
    found = backups.verify(None)
    assert (found.rows["notes"], found.rows["tasks"], found.objects) == (1, 1, 1)
    assert found.wal_segments >= 3
    for kind in CLAIMED[past.engine]:
        file = sorted(path for path in damaged.rglob(kind) if path.is_file())[-1]
        size = file.stat().st_size
        for at in sorted({0, min(4, size - 1), size // 2, size - 1}):
            with flipped(file, at):
                try:
                    backups.verify(None)
                except BackupDamaged:
                    continue
            pytest.fail(f"byte {at} of {file.relative_to(damaged)} is another one, and nobody saw it")


# the embedded engine's own


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """The home of a server that these tests have in common; each has a vault of its own."""
    folder = open_folder()
    home = folder / "home"
    dsn = EmbeddedPostgres(home / "postgres").start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ossa")
        connection.execute("CREATE TABLE ossa.accounts AS SELECT id, 100 AS coins FROM generate_series(1, 50) id")
    write(dsn, "first")
    yield home
    EmbeddedPostgres(home / "postgres").erase()
    shutil.rmtree(folder)


@pytest.fixture
def served(shared: Path) -> str:
    return EmbeddedPostgres(shared / "postgres").start()


def backups_of(home: Path, vault: Path) -> Backups:
    return make_backups(Settings(home=home, backup={"url": str(vault), "enabled": True}))


def test_a_backup_while_others_write_is_consistent_and_a_busy_or_full_home_is_refused(
    shared: Path, served: str, tmp_path: Path
) -> None:
    stop, moved = threading.Event(), [0]

    def move() -> None:
        with psycopg.connect(served) as connection:
            while not stop.is_set():
                number = moved[0]
                connection.execute("UPDATE ossa.accounts SET coins = coins - 1 WHERE id = %s", (1 + number % 50,))
                connection.execute(
                    "UPDATE ossa.accounts SET coins = coins + 1 WHERE id = %s", (1 + (number * 7 + 3) % 50,)
                )
                connection.commit()
                moved[0] += 1
                time.sleep(0.002)

    backups = backups_of(shared, tmp_path)
    writer = threading.Thread(target=move)
    writer.start()
    try:
        before = moved[0]
        made = backups.now()
        assert moved[0] > before
    finally:
        stop.set()
        writer.join()
    kept = notes(served)
    write(served, "after its end")
    with pytest.raises(Conflict, match="not empty"):
        backups.restore(shared, id=made.id, at=None, force=False)
    with pytest.raises(Conflict, match="runs: stop the fleet first"):
        backups.restore(shared, id=made.id, at=None, force=True)
    assert not is_marked(shared)
    EmbeddedPostgres(shared / "postgres").stop()
    backups.restore(shared, id=made.id, at=None, force=True)
    dsn = EmbeddedPostgres(shared / "postgres").start()
    assert notes(dsn) == kept
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT sum(coins), count(*) FROM ossa.accounts").fetchone() == (5000, 50)


KILLED = """
import sys
from ossa.app.backups import make_backups
from ossa.settings import Settings
from ossa.stores.objects.blobs import ObjectBlobs
put = ObjectBlobs.put_file
def slow(self, path, file):
    put(self, path, file)
    print("part", flush=True)
    sys.stdin.read()
ObjectBlobs.put_file = slow
make_backups(Settings(home=sys.argv[1], backup={"url": sys.argv[2]})).now()
"""


@contextmanager
def killed_at(word: bytes, script: str, *arguments: object) -> Iterator[None]:
    """A process that is killed once it has said the word, and what is done meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == word
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_backup_killed_half_way_is_none_and_the_next_one_is_whole(shared: Path, served: str, tmp_path: Path) -> None:
    backups = backups_of(shared, tmp_path)
    with killed_at(b"part", KILLED, shared, tmp_path), pytest.raises(Conflict, match="is at the backup"):
        backups.now()
    assert [path for path in (tmp_path / "sets").rglob("*") if path.is_file()]
    assert backups.sets() == ([], [])
    with pytest.raises(NotFound, match="There is no backup"):
        backups.verify(None)
    made = backups.now()
    assert [one.id for one in backups.sets()[0]] == [made.id]
    assert [path.name for path in (shared / ".backup").iterdir() if path.is_dir()] == []


HALF = """
import sys
from pathlib import Path
from ossa.app.backups import make_backups
from ossa.settings import Settings
from ossa.stores.backups.server import RestoredPostgres
def slow(self, dsn):
    print("half", flush=True)
    sys.stdin.read()
RestoredPostgres.renew = slow
into, vault = map(Path, sys.argv[1:])
make_backups(Settings(home=into.parent, backup={"url": str(vault)})).restore(into, id=None, at=None, force=False)
"""


@pytest.mark.parametrize("past", ["embedded"], indirect=True)
def test_no_fleet_starts_from_a_home_whose_restore_was_killed_and_another_restore_mends_it(
    past: Past, into: Path
) -> None:
    """It is killed with PostgreSQL running there and all rows back, before the memory knows of it."""
    with killed_at(b"half", HALF, into, past.vault):
        pass
    assert EmbeddedPostgres(into / "postgres").running
    with pytest.raises(Conflict, match=f"ended half-way.*restore --into {into} --force"):
        FleetServices(Settings(home=into)).start()
    for refused in (backups_of(into, past.vault).now, backups_of(into, past.vault).archive):
        with pytest.raises(Conflict, match="ended half-way"):
            refused()
    with pytest.raises(Conflict, match="not empty"):
        past.backups().restore(into, id=None, at=None, force=False)
    past.backups().restore(into, id=None, at=past.times["end"], force=True)
    assert not is_marked(into)
    with past.started(into) as dsn:  # and a time after the last commit is all of it
        assert notes(dsn) == ["before", "A", "B", "C"]


def test_what_is_written_after_a_restore_is_archived_and_restored(
    shared: Path, served: str, tmp_path: Path, into: Path
) -> None:
    server = EmbeddedPostgres(shared / "postgres")
    server.keep_wal()
    backups = backups_of(shared, tmp_path)
    first = backups.now(archive=True)
    before = notes(served)
    at = write(served, "kept")
    write(served, "left aside")
    backups.archive()
    later = backups.now(archive=True)
    server.stop()
    backups.restore(shared, id=None, at=at, force=True)
    dsn = server.start()
    write(dsn, "anew")
    reach = backups.archive()
    assert reach.timeline == first.base.timeline + 1
    assert [backups.broken(later), backups.broken(first)] == [True, False], sorted(tmp_path.rglob("wal/*"))
    backups.restore(into, id=None, at=None, force=False)
    with embedded_server(into) as dsn:
        assert notes(dsn) == [*before, "kept", "anew"]


@pytest.mark.parametrize("past", ["embedded"], indirect=True)
def test_another_server_s_backups_are_refused(shared: Path, served: str, past: Past) -> None:
    for refused in (backups_of(shared, past.vault).now, backups_of(shared, past.vault).archive):
        with pytest.raises(Conflict, match="backups of another PostgreSQL"):
            refused()


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nothing can be backed up"):
        backups_of(tmp_path / "home", tmp_path / "vault").now()


def test_a_segment_that_another_wrote_is_not_written_over(shared: Path, served: str, tmp_path: Path) -> None:
    folder = EmbeddedPostgres(shared / "postgres").keep_wal()
    backups = backups_of(shared, tmp_path)
    first = backups.archive()
    stored = tmp_path / "wal" / f"{first.segment}.gz"
    digest = stored.with_name(f"{stored.name}.sha256")
    segment = gzip.decompress(stored.read_bytes())
    digest.unlink()
    (folder / first.segment).write_bytes(segment)
    backups.archive()  # the same again: who handed it over was killed on the way
    assert digest.read_text() == hashlib.sha256(stored.read_bytes()).hexdigest()
    (folder / first.segment).write_bytes(segment[:-1] + b"x")
    with pytest.raises(Conflict, match="has another"):
        backups.archive()
    (folder / first.segment).unlink()
