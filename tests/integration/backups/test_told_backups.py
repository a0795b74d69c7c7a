"""What is told of backups: in the log of the server that is backed up, and of the one that was brought back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ossa.app.backups import make_backups
from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.events.schemas import check_event
from ossa.settings import Settings
from ossa.stores.backups.embedded import EmbeddedBackups, server_dir
from ossa.stores.postgres import PostgresStores


async def events_of(dsn: str) -> list[Event]:
    stores = PostgresStores(Database(), dsn, events=EventSettings())
    await stores.open()
    try:
        page = await stores.facts.read(0, limit=1_000)
    finally:
        await stores.close()
    events = [item.content for item in page.items if isinstance(item.content, Event)]
    for event in events:
        check_event(event)
    return events


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    server = EmbeddedPostgres(server_dir(folder))
    asyncio.run(events_of(server.start()))
    yield folder
    server.erase()


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def told(home: Path) -> list[Event]:
    return asyncio.run(events_of(EmbeddedPostgres(server_dir(home)).start()))


def test_a_backup_its_restore_its_failure_and_its_end_are_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home)
    made = make_backups(settings).now()
    (completed,) = told(home)
    assert (completed.type, completed.subject) == ("ossa.backup.completed.v1", f"backup/{made.id}")
    assert completed.actor == "system/backups"
    assert completed.data == {"backup": made.id, "bytes": made.size}

    into = tmp_path / "restored"
    make_backups(settings).restore(into, id=made.id, at=None, force=False)
    restored = told(into)[-1]
    assert (restored.type, restored.data["backup"]) == ("ossa.backup.restored.v1", made.id)
    EmbeddedPostgres(server_dir(into)).erase()

    with monkeypatch.context() as broken:

        def take(*_: object) -> None:
            raise StoreUnavailable("The disk is full.")

        broken.setattr(EmbeddedBackups, "take", take)
        with pytest.raises(StoreUnavailable):
            make_backups(settings).now()
    failed = told(home)[-1]
    assert failed.type == "ossa.backup.failed.v1"
    assert failed.data == {"code": "store_unavailable", "reason": "The disk is full."}

    for days in (100, 300):
        backups = make_backups(settings)
        backups._now = partial(later, days)
        backups.now()
    kinds = [(event.type.split(".")[2], event.subject) for event in told(home)]
    assert ("removed", f"backup/{made.id}") in kinds
    assert [kind for kind, _ in kinds].count("completed") == 3


def test_a_log_that_is_away_does_not_make_a_backup_fail(home: Path) -> None:
    dsn = EmbeddedPostgres(server_dir(home)).start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE ossa.facts ADD CONSTRAINT no_facts CHECK (body = '') NOT VALID")
    made = make_backups(Settings(home=home)).now()
    assert [backup.id for backup in make_backups(Settings(home=home)).sets()[0]] == [made.id]
