"""What is said when PostgreSQL is not as it should be: which setting it is, what to do, and no secret."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.task import NewTask, TaskRequest
from ossa.embedded.postgres import find_postmaster
from ossa.embedded.postgres_programs import choose_account
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Reader, Server
from scripts.services import Address, Services
from scripts.services.postgres import ACCESS, installed_programs

FAST = Database(connect_timeout_s=3, statement_timeout_s=1)


def password_of(dsn: str) -> str:
    return dsn.split("@")[0].rsplit(":", 1)[1]


async def refusal(dsn: str, database: Database = FAST) -> str:
    stores = PostgresStores(database, dsn)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await stores.open()
    finally:
        await stores.close()
    assert caught.value.retry_after_s
    return caught.value.message


async def test_a_wrong_password(debian: Address) -> None:
    said = await refusal(debian.dsn.replace(password_of(debian.dsn), "wrong-secret"))
    assert "password authentication failed" in said
    assert "OSSA_DATABASE__DSN" in said
    assert "wrong-secret" not in said


async def test_no_password(debian: Address) -> None:
    said = await refusal(debian.dsn.replace(f":{password_of(debian.dsn)}", ""))
    assert "OSSA_DATABASE__PASSWORD" in said


async def test_a_password_from_its_own_setting(debian: Address) -> None:
    settings = FAST.model_copy(update={"password": SecretStr(password_of(debian.dsn))})
    session = await Server(debian.dsn.replace(f":{password_of(debian.dsn)}", ""), settings).connect()
    await session.close()


async def test_an_unknown_database(debian: Address) -> None:
    said = await refusal(debian.dsn.removesuffix("/ossa") + "/nowhere")
    assert 'database "nowhere" does not exist' in said
    assert "OSSA_DATABASE__DSN" in said


async def test_nobody_listens(debian: Address) -> None:
    said = await refusal("postgresql://ossa:pw@127.0.0.1:1/ossa")
    assert "127.0.0.1:1/ossa" in said and "is OSSA_DATABASE__DSN right?" in said


async def test_an_unknown_host() -> None:
    assert "no such host" in await refusal("postgresql://ossa@no-such-host.invalid/ossa")


async def test_a_server_that_speaks_no_tls(debian: Address) -> None:
    said = await refusal(debian.dsn, FAST.model_copy(update={"ssl_mode": "require"}))
    assert "OSSA_DATABASE__SSL_MODE" in said


async def test_too_many_connections(debian: Address) -> None:
    user = "crowded"
    password = password_of(debian.dsn)
    with psycopg.connect(debian.admin or "", autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}' CONNECTION LIMIT 1".encode())
        try:
            dsn = debian.dsn.replace("//ossa:", f"//{user}:")
            with psycopg.connect(dsn):
                said = await refusal(dsn)
        finally:
            admin.execute(f"DROP ROLE {user}".encode())
    assert "too many connections" in said
    assert "max_connections" in said and "OSSA_DATABASE__POOL_TOTAL" in said


# what a statement meets


@pytest.fixture
async def stores(debian: Address) -> AsyncIterator[PostgresStores]:
    stores = PostgresStores(FAST, debian.admin)
    await stores.open()
    yield stores
    await stores.close()


def raising(state: str) -> str:
    return f"""
        CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION USING ERRCODE = ''{state}'', MESSAGE = ''injected''; END';
        DROP TRIGGER IF EXISTS refuse ON ossa.tasks;
        CREATE TRIGGER refuse BEFORE INSERT ON ossa.tasks FOR EACH ROW EXECUTE FUNCTION public.refuse()"""


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("53100", ("disk is full", "OSSA_DATABASE__HISTORY_DAYS")),
        ("25006", ("read-only replica", "target_session_attrs=read-write")),
        ("53300", ("max_connections", "OSSA_DATABASE__POOL_TOTAL")),
        ("55P03", ("OSSA_DATABASE__LOCK_TIMEOUT_S",)),
    ],
)
async def test_a_write_that_goes_on_being_refused_says_why_and_goes_on_by_itself_afterwards(
    stores: PostgresStores, debian: Address, state: str, words: tuple[str, ...]
) -> None:
    new = NewTask(
        id=f"task_{int(state, 36):032x}",
        tenant="acme",
        request=TaskRequest(messages=[{"role": "user", "content": "hi"}]),
        body_sha256="b",
    )
    with psycopg.connect(debian.admin or "", autocommit=True) as admin:
        admin.execute(raising(state).encode())
        try:
            with pytest.raises(StoreUnavailable) as caught:
                await stores.journal.accept(new, owner=None)
            for word in words:
                assert word in caught.value.message
        finally:
            admin.execute("DROP TRIGGER refuse ON ossa.tasks")
    assert (await stores.journal.accept(new, owner=None)).created


async def test_a_statement_that_waits_for_a_lock_gives_up_in_its_time(debian: Address) -> None:
    settings = Database(statement_timeout_s=1.0, lock_timeout_s=0.2)
    reader = Reader(Server(debian.admin or "", settings), 1)
    try:
        with psycopg.connect(debian.admin or "") as holder:
            holder.execute("LOCK TABLE ossa.secrets IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreUnavailable, match="OSSA_DATABASE__LOCK_TIMEOUT_S"):
                await reader.rows("SELECT * FROM ossa.secrets")
            row = await reader.row("SELECT current_setting('lock_timeout') AS lock")
            assert row == {"lock": "200ms"}
    finally:
        await reader.close()


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Address]:
    """A server of its own that lets nobody in without TLS."""
    services = Services(tmp_path_factory.mktemp("tls-server"))
    missing = services.missing("postgres")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    address = services.start("postgres")
    with psycopg.connect(address.admin or "", autocommit=True) as admin:
        found = admin.execute("SHOW data_directory").fetchone()
        assert found is not None
        cluster = Path(str(found[0]))
        account = choose_account(cluster)
        for name in ("address.crt", "address.key"):
            shutil.copy(certificates / name, cluster / name)
            (cluster / name).chmod(0o600)
            account.give(cluster / name)
        for setting, value in (("ssl_cert_file", "address.crt"), ("ssl_key_file", "address.key"), ("ssl", "on")):
            admin.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        (cluster / "pg_hba.conf").write_text("".join(line.replace("host ", "hostssl ", 1) + "\n" for line in ACCESS))
        admin.execute("SELECT pg_reload_conf()")
    assert find_postmaster(cluster) is not None
    assert installed_programs()
    yield address
    services.erase()


def trusting(authority: Path, mode: str = "verify-full") -> Database:
    return Database(connect_timeout_s=3, ssl_mode=mode, ssl_root_cert=str(authority))  # type: ignore[arg-type]


async def test_a_certificate_of_the_named_authority_is_taken(tls: Address, certificates: Path) -> None:
    stores = PostgresStores(trusting(certificates / "ca.crt"), tls.dsn)
    await stores.open()
    reader = Reader(Server(tls.dsn, trusting(certificates / "ca.crt")), 1)
    row = await reader.row("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert row is not None and row["ssl"] and row["version"] == "TLSv1.3"
    await reader.close()
    await stores.close()


async def test_a_certificate_of_another_authority_is_refused(tls: Address, certificates: Path) -> None:
    said = await refusal(tls.dsn, trusting(certificates / "other-ca.crt"))
    assert "certificate verify failed" in said
    assert "OSSA_DATABASE__SSL_ROOT_CERT" in said
    assert password_of(tls.dsn) not in said


async def test_an_authority_that_is_not_there_is_named(tls: Address, certificates: Path) -> None:
    said = await refusal(tls.dsn, trusting(certificates / "absent.crt"))
    assert "OSSA_DATABASE__SSL_ROOT_CERT" in said


async def test_a_certificate_for_another_host_is_refused(tls: Address, certificates: Path) -> None:
    said = await refusal(tls.dsn.replace("127.0.0.1", "localhost"), trusting(certificates / "ca.crt"))
    assert "host name" in said


async def test_without_tls_nobody_gets_in(tls: Address) -> None:
    said = await refusal(tls.dsn, FAST.model_copy(update={"ssl_mode": "disable"}))
    assert "no encryption" in said and "TLS" in said


def test_settings_of_tls_are_checked_when_they_are_read() -> None:
    with pytest.raises(ValueError, match="ssl_mode"):
        Database(**{"ssl_mode": "sure"})  # type: ignore[arg-type]


def test_nothing_of_a_dsn_shows_in_settings() -> None:
    secrets: dict[str, Any] = {"dsn": "postgresql://u:hidden@h/d", "password": "hidden", "replica_dsn": "x:hidden"}
    assert "hidden" not in repr(Database(**secrets))
