"""What the version before had told and not published goes into the fact log, and what it tells while it still runs.

Its writes are those of the current journal, whose function of the database has the same signature: over a schema of
version 12 they go into the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.events import Event
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.migrations import load_migrations
from ossa.stores.postgres.schema import migrate

pytestmark = pytest.mark.asyncio

BEFORE = 12
TASK = "task_" + "1" * 32
OTHER = "task_" + "2" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("outbox") / "postgres")
    server.start()
    yield server
    server.erase()


@pytest.fixture
async def dsn(server: EmbeddedPostgres) -> str:
    """A database as the version before left it."""
    dsn = server.start()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA IF EXISTS ossa CASCADE")
    await migrate(Server(dsn, Database()), load_migrations()[:BEFORE])
    return dsn


@pytest.fixture
async def running(dsn: str) -> AsyncIterator[PostgresStores]:
    """A program of the version before. It looks at the schema when it starts, and not again."""
    stores = PostgresStores(Database(), dsn)
    yield stores
    await stores.close()


async def accept(stores: PostgresStores, task_id: str) -> None:
    request = TaskRequest(messages=[{"role": "user", "content": "x"}])
    await stores.journal.accept(NewTask(id=task_id, tenant="acme", request=request), owner="a")


async def append(stores: PostgresStores, task_id: str, seq: int) -> None:
    step = Step(seq=seq, kind="model", agent_id="a-1", payload={}, at=datetime.now(UTC))
    await stores.journal.append(task_id, fence=1, steps=[step])


async def finish(stores: PostgresStores, task_id: str) -> None:
    await stores.journal.finish(task_id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))


async def in_the_log(dsn: str) -> list[tuple[str, str]]:
    """Facts' names and tenants, as the current version reads them."""
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    page = await stores.facts.read(0, limit=1000)
    await stores.close()
    events = [item.content for item in page.items if isinstance(item.content, Event)]
    return [(event.id, event.tenant) for event in events]


def in_the_outbox(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        (rows,) = conn.execute("SELECT count(*) FROM ossa.outbox").fetchone() or (0,)
    return int(rows)


async def test_what_nobody_had_published_is_in_the_log_after_the_upgrade(dsn: str, running: PostgresStores) -> None:
    for task_id in (TASK, OTHER):
        await accept(running, task_id)
    await append(running, TASK, 0)
    await finish(running, TASK)
    assert in_the_outbox(dsn) == 4
    await migrate(Server(dsn, Database()))
    assert in_the_outbox(dsn) == 0
    names = [f"{TASK}:accepted", f"{OTHER}:accepted", f"{TASK}:0", f"{TASK}:finished"]
    assert await in_the_log(dsn) == [(name, "acme") for name in names]


async def test_a_program_that_still_runs_after_the_upgrade_tells_into_the_log(
    dsn: str, running: PostgresStores
) -> None:
    await accept(running, TASK)
    await migrate(Server(dsn, Database()))
    await append(running, TASK, 0)
    await accept(running, OTHER)
    await finish(running, TASK)
    assert in_the_outbox(dsn) == 0
    names = [f"{TASK}:accepted", f"{TASK}:0", f"{OTHER}:accepted", f"{TASK}:finished"]
    assert await in_the_log(dsn) == [(name, "acme") for name in names]


async def test_a_write_that_began_before_the_upgrade_and_ends_after_it_is_told_in_the_log(
    dsn: str, running: PostgresStores
) -> None:
    await accept(running, TASK)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("SELECT FROM ossa.open_tasks FOR UPDATE")  # a cancel, say
        late = asyncio.create_task(append(running, TASK, 0))  # it waits inside the function of the version before
        async with asyncio.timeout(20):
            while not await _waits(dsn):  # noqa: ASYNC110 - another connection's state
                await asyncio.sleep(0.01)
        await migrate(Server(dsn, Database()))
        await other.commit()
    await late
    assert in_the_outbox(dsn) == 0
    assert await in_the_log(dsn) == [(f"{TASK}:accepted", "acme"), (f"{TASK}:0", "acme")]


async def test_a_write_to_the_outbox_that_the_upgrade_meets_is_waited_for(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute(
            "INSERT INTO ossa.outbox (task_id, tenant, at, body) "
            """VALUES ('task_x', 'acme', now(), '[["accepted", "ossa.task.accepted.v1", null, {}]]')"""
        )
        migrating = asyncio.create_task(migrate(Server(dsn, Database())))
        async with asyncio.timeout(20):
            while not await _waits(dsn):  # noqa: ASYNC110 - another connection's state
                await asyncio.sleep(0.01)
        await other.commit()
    await migrating
    assert await in_the_log(dsn) == [("task_x:accepted", "acme")]


async def _waits(dsn: str) -> bool:
    """Whether anybody waits for a lock."""
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        row = await (await conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")).fetchone()
    return bool(row and row[0])
