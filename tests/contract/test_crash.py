"""A killed PostgreSQL loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.task import TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.postgres import PostgresStores

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("crash")) / "postgres")
    server.start()
    yield server
    server.erase()


@pytest.fixture
async def stores(server: EmbeddedPostgres) -> AsyncIterator[PostgresStores]:
    stores = PostgresStores(Database(statement_timeout_s=30), server.start())
    await stores.open()
    yield stores
    await stores.close()


class Load:
    """Callers that accept and finish until told to stop; what was acknowledged is kept."""

    def __init__(self, stores: PostgresStores, made: Any) -> None:
        self.journal, self.made = stores.journal, made
        self.accepted: list[str] = []
        self.finished: list[str] = []
        self.failed: list[Exception] = []
        self.going = True

    async def caller(self) -> None:
        while self.going:
            new = self.made.task()
            try:
                accepted = await self.journal.accept(new, owner="a")
                self.accepted.append(new.id)
                assert accepted.created
                await self.journal.finish(
                    new.id,
                    fence=1,
                    outcome=self.made.outcome(),
                    steps=[self.made.step(0)],
                    usage_subjects=["tenant:load"],
                )
                self.finished.append(new.id)
            except Exception as error:
                self.failed.append(error)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.finished) < count and not self.failed:  # noqa: ASYNC110 - two conditions, one test
                await asyncio.sleep(0.01)

    async def check(self) -> None:
        assert not self.failed, self.failed[:3]
        for task_id in self.accepted:
            task = await self.journal.get(task_id)
            assert task.status is TaskStatus.SUCCEEDED
            assert len(await self.journal.steps(task_id)) == 1


@pytest.mark.parametrize("rounds", [2])
async def test_kill_of_the_postmaster_in_mid_load_loses_no_acknowledged_accept(
    server: EmbeddedPostgres, stores: PostgresStores, made: Any, rounds: int
) -> None:
    before = (await stores.journal.usage_today("tenant:load")).tokens
    load = Load(stores, made)
    callers = [asyncio.create_task(load.caller()) for _ in range(8)]
    for _ in range(rounds):
        await load.until(len(load.finished) + 40)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)
        await load.until(len(load.finished) + 40)
    load.going = False
    await asyncio.gather(*callers)
    await load.check()
    # A finish that was repeated because its answer was lost counts once.
    tokens = (await stores.journal.usage_today("tenant:load")).tokens - before
    assert tokens == 11 * len(load.finished)


async def test_lost_connections_are_not_felt(server: EmbeddedPostgres, stores: PostgresStores, made: Any) -> None:
    load = Load(stores, made)
    callers = [asyncio.create_task(load.caller()) for _ in range(8)]
    with psycopg.connect(server.start(), autocommit=True) as conn:
        for _ in range(5):
            await load.until(len(load.finished) + 20)
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ossa'")
    load.going = False
    await asyncio.gather(*callers)
    await load.check()


async def test_a_store_that_stays_away_is_unavailable_within_the_timeout(server: EmbeddedPostgres, made: Any) -> None:
    stores = PostgresStores(Database(statement_timeout_s=1, connect_timeout_s=1), server.start())
    await stores.open()
    await stores.journal.accept(made.task(), owner=None)
    await asyncio.to_thread(server.stop)
    try:
        async with asyncio.timeout(20):
            results = await asyncio.gather(
                stores.journal.accept(made.task(), owner=None),
                stores.journal.get("task_x"),
                stores.journal.ping(),
                stores.keys.find(b"x"),
                stores.journal.request_cancel("task_x", tenant="acme"),
                return_exceptions=True,
            )
        assert [type(result) for result in results] == [StoreUnavailable] * 5, results
    finally:
        await asyncio.to_thread(server.start)
    assert (await stores.journal.accept(made.task(), owner=None)).created
    await stores.close()
