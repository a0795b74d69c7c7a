"""The schedule as the actor it is, over Ray and the embedded PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import ray
from pydantic import SecretStr

from ossa.app.backup_actor import NAME, start_backups, stop_backups
from ossa.app.backups import make_backups
from ossa.app.services import Backing
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.settings import Settings
from tests.integration.fleet.conftest import start_head

NAMESPACE = "backup-tests"
GET_THERE_S = 90.0


@pytest.fixture
def head() -> Iterator[None]:
    made = start_head()
    ray.init(address=made.address, namespace="driver", log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ossa-backups-"))
    folder.chmod(0o711)  # as root PostgreSQL runs as somebody else
    yield folder / "home"
    EmbeddedPostgres(folder / "home" / "postgres").erase()
    shutil.rmtree(folder)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GET_THERE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_fleet_s_schedule_makes_a_backup_archives_goes_on_after_its_death_and_ends(head: None, home: Path) -> None:
    dsn = EmbeddedPostgres(home / "postgres").start()
    settings = Settings(
        home=home,
        fleet={"namespace": NAMESPACE},
        backup={"enabled": True, "wal_every_s": 1, "url": str(home.parent / "vault")},
    )
    backups = make_backups(settings)

    def archived(after: datetime) -> bool:
        reach = backups.reach()
        return reach is not None and reach.until > after

    start_backups(settings, Backing(dsn=SecretStr(dsn), models=settings.models, embedded=("postgres",)))
    until(lambda: len(backups.sets()[0]) == 1, "no backup was made")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE written (late int)")
    written = datetime.now(UTC)
    until(lambda: archived(written), "the WAL is not archived")
    ray.kill(ray.get_actor(NAME, namespace=NAMESPACE), no_restart=False)
    died = datetime.now(UTC)
    until(lambda: archived(died), "nothing is archived after its death")
    assert len(backups.sets()[0]) == 1  # the next one is due in a day
    stop_backups(NAMESPACE)
    with pytest.raises(ValueError, match=NAME):
        ray.get_actor(NAME, namespace=NAMESPACE)
    stop_backups(NAMESPACE)  # there is none
