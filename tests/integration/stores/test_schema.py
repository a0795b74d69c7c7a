"""Migrations and what is said when the database is not as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.migrations import Migration, load_migrations
from ossa.stores.postgres.schema import migrate

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("schema")) / "postgres")
    server.start()
    yield server
    server.erase()


@pytest.fixture
def dsn(server: EmbeddedPostgres) -> str:
    """An empty database."""
    dsn = server.start()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA IF EXISTS ossa CASCADE")
    return dsn


async def test_one_of_many_processes_migrates(dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(Server(dsn, Database())) for _ in range(8)))
    assert sorted(len(found) for found in applied) == [0] * 7 + [len(load_migrations())]


async def test_a_migration_that_fails_leaves_nothing_behind(dsn: str) -> None:
    known = load_migrations()
    broken = [*known, Migration(len(known) + 1, "broken", "CREATE TABLE ossa.half (); SELECT 1 / 0;")]
    with pytest.raises(StoreUnavailable, match="division by zero"):
        await migrate(Server(dsn, Database()), broken)
    assert len(await migrate(Server(dsn, Database()))) == len(known)


async def test_only_missing_migrations_are_applied(dsn: str) -> None:
    await migrate(Server(dsn, Database()))
    more = [*load_migrations(), Migration(len(load_migrations()) + 1, "more", "CREATE TABLE ossa.more ()")]
    assert [m.name for m in await migrate(Server(dsn, Database()), more)] == ["more"]


async def test_a_newer_schema_is_refused(dsn: str) -> None:
    await migrate(Server(dsn, Database()))
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO ossa.migrations (version, name) VALUES (99, 'later')")
    with pytest.raises(StoreUnavailable, match=r"version 99.*upgrade ossa-on-ray"):
        await PostgresStores(Database(), dsn).open()


async def test_a_wrong_password_is_named_and_not_shown(dsn: str) -> None:
    wrong = dsn.replace("ossa:", "ossa:prefix-", 1)
    password = wrong.split(":")[2].split("@")[0]
    with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
        await PostgresStores(Database(), wrong).open()
    assert password not in repr(caught.value)
    assert password not in repr(caught.value.__cause__)


async def test_a_database_that_is_not_there_is_named(dsn: str) -> None:
    with pytest.raises(StoreUnavailable, match='"nowhere" does not exist'):
        await PostgresStores(Database(), dsn.removesuffix("ossa") + "nowhere").open()
