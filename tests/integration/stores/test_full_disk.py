"""A disk that is really full: the tables of a PostgreSQL on a file system of a few MiB, its WAL elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.task import NewTask, TaskRequest
from ossa.embedded.postgres_programs import choose_account
from ossa.stores.postgres import PostgresStores
from scripts.services import Address

SIZE_MIB = 32
TEXT = 2**18


@dataclass(frozen=True)
class SmallDisk:
    dsn: str
    place: Path

    def grow(self) -> None:
        assert mounted("remount", f"size={4 * SIZE_MIB}m", place=self.place)


def mounted(*options: str, place: Path) -> bool:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", place]).returncode == 0


@pytest.fixture
def small(debian: Address) -> Iterator[SmallDisk]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("left out: only root can mount a small file system")
    place = Path(tempfile.mkdtemp(prefix="small-disk-"))
    try:
        place.chmod(0o711)
        if not mounted(f"size={SIZE_MIB}m", place=place):
            pytest.skip("left out: no file system can be mounted here")
        folder = place / "tables"
        folder.mkdir(mode=0o700)
        with psycopg.connect(debian.admin or "", autocommit=True) as admin:
            found = admin.execute("SHOW data_directory").fetchone()
            assert found is not None
            choose_account(Path(str(found[0]))).give(folder)
            admin.execute(f"CREATE TABLESPACE small LOCATION '{folder}'".encode())
            try:
                admin.execute(b"CREATE DATABASE small TABLESPACE small")
                yield SmallDisk((debian.admin or "").rsplit("/", 1)[0] + "/small", place)
            finally:
                admin.execute(b"DROP DATABASE IF EXISTS small WITH (FORCE)")
                admin.execute(b"DROP TABLESPACE small")
    finally:
        if place.is_mount():
            subprocess.run(["umount", "-l", place], check=True)  # lazily: whatever happened, nothing stays mounted
        place.rmdir()


def task(number: int) -> NewTask:
    content = os.urandom(TEXT // 2).hex()  # nothing that could be compressed
    return NewTask(
        id=f"task_{number:032x}",
        tenant="acme",
        request=TaskRequest(messages=[{"role": "user", "content": content}]),
        body_sha256="b",
    )


async def test_it_is_said_nothing_accepted_is_lost_and_with_more_room_it_goes_on(small: SmallDisk) -> None:
    stores = PostgresStores(Database(connect_timeout_s=3, statement_timeout_s=5), small.dsn)
    await stores.open()
    accepted: list[str] = []
    try:
        with pytest.raises(StoreUnavailable) as caught:
            for number in range(8 * SIZE_MIB * 2**20 // TEXT):
                new = task(number)
                await stores.journal.accept(new, owner="a")
                accepted.append(new.id)
        assert "disk is full" in caught.value.message and "OSSA_DATABASE__HISTORY_DAYS" in caught.value.message
        assert caught.value.retry_after_s
        for id in accepted:
            assert (await stores.journal.get(id, tenant="acme")).id == id
        refused = task(len(accepted))
        with pytest.raises(NotFound):
            await stores.journal.get(refused.id, tenant="acme")

        small.grow()
        await stores.journal.accept(refused, owner="a")
        assert (await stores.journal.get(refused.id, tenant="acme")).id == refused.id
    finally:
        await stores.close()
