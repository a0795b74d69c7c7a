"""Three PostgreSQL, kept by Patroni."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from scripts.services import Address, Services


@pytest.fixture
def address(services: Services, installed: Callable[[str], None]) -> Address:
    installed("postgres-ha")
    return services.start("postgres-ha")


def leader_port(address: Address) -> int:
    with psycopg.connect(address.admin or "", connect_timeout=3) as connection:
        return connection.info.port


def member_at(services: Services, port: int) -> str:
    found = [member.name for member in services.status("postgres-ha").members if member.ports.get("sql") == port]
    return next(name for name in found if name.startswith("postgres-"))


class Writer(threading.Thread):
    """Inserts numbers one by one, and keeps those that were acknowledged."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.acknowledged: list[int] = []
        self.done = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.done.is_set():
            try:
                with psycopg.connect(self.dsn, connect_timeout=2, autocommit=True) as connection:
                    while not self.done.is_set():
                        number += 1
                        connection.execute("INSERT INTO written VALUES (%s)", (number,))
                        self.acknowledged.append(number)
            except psycopg.Error:
                self.done.wait(0.05)


def test_another_leads_when_the_leader_is_killed_and_nothing_acknowledged_is_lost(
    services: Services,
    address: Address,
    until: Callable[[Callable[[], bool]], float],
    record_property: Callable[[str, object], None],
) -> None:
    with psycopg.connect(address.dsn) as connection:
        connection.execute("CREATE TABLE written (number int)")
    writer = Writer(address.dsn)
    writer.start()
    try:
        until(lambda: len(writer.acknowledged) > 100)
        before = leader_port(address)
        services.kill("postgres-ha", member_at(services, before))
        seen = len(writer.acknowledged)
        record_property("seconds_without_writes", until(lambda: len(writer.acknowledged) > seen + 1))
        assert leader_port(address) != before
        until(lambda: services.problem("postgres-ha") is None)  # the killed one follows the new leader
    finally:
        writer.done.set()
        writer.join()
    with psycopg.connect(address.dsn) as connection:
        kept = {number for (number,) in connection.execute("SELECT number FROM written")}
    assert set(writer.acknowledged) <= kept


def test_a_killed_patroni_and_a_killed_etcd_are_started_again(services: Services, address: Address) -> None:
    services.kill("postgres-ha", "patroni-3")
    services.kill("postgres-ha", "etcd-1")
    assert services.start("postgres-ha") == address
    status = services.status("postgres-ha")
    assert (status.state, len(status.members)) == ("up", 9)


def test_stopping_leaves_no_server_behind_even_when_a_patroni_was_killed(services: Services, address: Address) -> None:
    services.kill("postgres-ha", "patroni-2")
    services.stop("postgres-ha")
    assert services.status("postgres-ha").state == "down"
    for host in address.hosts:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://ossa@{host}/ossa", connect_timeout=2)
