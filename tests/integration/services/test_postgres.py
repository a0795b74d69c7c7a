"""One PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from scripts.services import Services


@pytest.fixture
def dsn(services: Services, installed: Callable[[str], None]) -> Iterator[str]:
    installed("postgres")
    yield services.start("postgres").dsn


def test_what_was_committed_survives_a_kill_and_the_address_stays(services: Services, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    services.kill("postgres", "postgres")
    assert services.status("postgres").state == "down"
    assert services.start("postgres").dsn == dsn
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_a_second_start_changes_nothing(services: Services, dsn: str) -> None:
    before = services.status("postgres")
    assert services.start("postgres").dsn == dsn
    assert [member.pid for member in services.status("postgres").members] == [member.pid for member in before.members]


def test_nobody_gets_in_without_the_password(dsn: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn, password="wrong")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_it_stops_and_its_data_stay(services: Services, dsn: str) -> None:
    services.stop("postgres")
    services.stop("postgres")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn, connect_timeout=2)
    services.start("postgres")
    psycopg.connect(dsn).close()
