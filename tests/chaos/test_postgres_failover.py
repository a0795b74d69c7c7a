"""The journal over three PostgreSQL of which one leads: real servers, a killed leader, and replicas that fall behind.

The writers are the product's own stores. Every write that was acknowledged must be there afterwards, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.gateway.api.responses import new_task_id
from ossa.stores.postgres import PostgresStores
from scripts.services import Address, Services

WRITERS = 8
STEPS = 3
TENANT = "acme"
BEGIN_AGAIN_S = 60.0
"""Generous: it takes Patroni some three seconds on a quiet machine."""

BOUND_S = 1.0


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("postgres-ha"))
    missing = services.missing("postgres-ha")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    yield services
    services.erase()


@pytest.fixture(scope="module")
def address(services: Services) -> Address:
    return services.start("postgres-ha")


@pytest.fixture
async def stores(address: Address) -> AsyncIterator[PostgresStores]:
    database = Database(replica_dsn=SecretStr("standbys"), replica_lag_s=BOUND_S, statement_timeout_s=30)
    stores = PostgresStores(database, address.dsn)
    await stores.open()
    yield stores
    await stores.close()


async def until(condition: Callable[[], object], *, within_s: float = BEGIN_AGAIN_S) -> float:
    """Seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"it did not come true within {within_s:.0f} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def leader(address: Address) -> int:
    """Its port."""
    with psycopg.connect(address.admin or "", connect_timeout=3) as conn:
        return conn.info.port


def standbys(address: Address) -> list[str]:
    """An administrator's DSNs of those that follow."""
    begin, rest = (address.admin or "").split("@")
    database = rest.split("/")[1].split("?")[0]
    leads = f":{leader(address)}"
    return [f"{begin}@{host}/{database}" for host in address.hosts if not host.endswith(leads)]


@contextmanager
def standing_still(address: Address) -> Iterator[None]:
    """The replicas receive all and show none of it: a reader there holds a table that is dropped meanwhile.

    (Patroni resumes a replay that is paused.)
    """
    with psycopg.connect(address.admin or "", autocommit=True) as leads, ExitStack() as stack:
        leads.execute("CREATE TABLE public.held ()")
        for dsn in standbys(address):
            follows = stack.enter_context(psycopg.connect(dsn, connect_timeout=3))
            wait_for_table(follows)
            follows.execute("SELECT FROM public.held")
        leads.execute("DROP TABLE public.held")
        yield


def wait_for_table(follows: psycopg.Connection[Any]) -> None:
    deadline = time.monotonic() + 30
    while follows.execute("SELECT to_regclass('public.held')").fetchone() == (None,):
        follows.rollback()
        assert time.monotonic() < deadline, "a replica does not follow"
        time.sleep(0.02)


def new_task(key: str | None = None) -> NewTask:
    request = TaskRequest(messages=[{"role": "user", "content": "hi"}])
    return NewTask(id=new_task_id(), tenant=TENANT, request=request, body_sha256="b", idempotency_key=key)


def step(seq: int) -> Step:
    return Step(seq=seq, kind="model", agent_id="a", payload={}, at=datetime.now(UTC))


# before anything is killed


async def test_a_replica_that_is_named_as_the_primary_is_refused(address: Address) -> None:
    alone = PostgresStores(Database(connect_timeout_s=3, statement_timeout_s=3), standbys(address)[0])
    with pytest.raises(StoreUnavailable, match=r"read-only replica: name every member.*target_session_attrs"):
        await alone.open()
    await alone.close()


async def test_lists_come_from_a_replica_while_it_is_near_and_from_the_primary_when_it_is_not(
    address: Address, stores: PostgresStores
) -> None:
    served = stores.lists.served
    first = new_task()
    await stores.journal.accept(first, owner=None)

    async def listed() -> str:
        """Where from."""
        before = dict(served)
        newest = {task.id for task in await stores.journal.tasks(tenant=TENANT)}
        where = "replica" if served["replica"] > before["replica"] else "primary"
        assert where == "replica" or first.id in newest
        return where

    deadline = time.monotonic() + 30
    while await listed() != "replica":
        assert time.monotonic() < deadline, "no replica was ever near enough"
        await asyncio.sleep(0.05)
    with standing_still(address):
        later = new_task()
        await stores.journal.accept(later, owner=None)
        deadline = time.monotonic() + 10 * BOUND_S
        while await listed() == "replica":
            assert time.monotonic() < deadline, "a replica that stands still was read from beyond the bound"
            await asyncio.sleep(0.05)
        assert later.id in {task.id for task in await stores.journal.tasks(tenant=TENANT)}
        assert (await stores.journal.get(later.id)).id == later.id
    deadline = time.monotonic() + 30
    while await listed() == "primary":
        assert time.monotonic() < deadline, "it is near again and was not read from"
        await asyncio.sleep(0.05)


# the leader is killed


class Writer:
    """Runs tasks one after the other; keeps what was acknowledged."""

    def __init__(self, stores: PostgresStores, name: str) -> None:
        self._journal = stores.journal
        self._name = name
        self.accepted: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.finished: set[str] = set()
        self.refused = 0
        self.acknowledged = 0
        self.stopping = False

    async def run(self) -> None:
        number = 0
        while not self.stopping:
            number += 1
            await self._task(f"{self._name}-{number}")

    async def _task(self, key: str) -> None:
        new = new_task(key)
        if not await self._done(lambda: self._journal.accept(new, owner=self._name)):
            return
        self.accepted[new.id] = key
        for seq in range(STEPS):
            if not await self._done(lambda seq=seq: self._journal.append(new.id, fence=1, steps=[step(seq)])):
                return
            self.steps[new.id] = seq + 1
        outcome = Outcome(status=TaskStatus.SUCCEEDED, usage=Usage(prompt_tokens=1, model_calls=1))
        subjects = [f"tenant:{TENANT}"]
        if await self._done(lambda: self._journal.finish(new.id, fence=1, outcome=outcome, usage_subjects=subjects)):
            self.finished.add(new.id)

    async def _done(self, write: Callable[[], object]) -> bool:
        try:
            await write()  # type: ignore[misc]
        except StoreUnavailable:
            self.refused += 1
            return False
        self.acknowledged += 1
        return True


async def test_a_killed_leader_loses_nothing_that_was_acknowledged_and_writes_go_on(
    services: Services,
    address: Address,
    stores: PostgresStores,
    record_property: Callable[[str, object], None],
) -> None:
    writers = [Writer(stores, f"writer-{number}") for number in range(WRITERS)]
    running = [asyncio.create_task(writer.run()) for writer in writers]

    def acknowledged() -> int:
        return sum(writer.acknowledged for writer in writers)

    try:
        await until(lambda: acknowledged() > 200)
        before = await asyncio.to_thread(leader, address)
        members = {
            member.ports.get("sql"): member.name
            for member in services.status("postgres-ha").members
            if member.name.startswith("postgres-")
        }
        await asyncio.to_thread(services.kill, "postgres-ha", members[before])
        seen = acknowledged()
        record_property("seconds_without_writes", await until(lambda: acknowledged() > seen + 2 * WRITERS))
        await until(lambda: acknowledged() > seen + 200)
        assert await asyncio.to_thread(leader, address) != before
    finally:
        for writer in writers:
            writer.stopping = True
        await asyncio.gather(*running)

    with psycopg.connect(address.admin or "") as conn:
        tasks = conn.execute("SELECT id, idempotency_key FROM ossa.tasks WHERE idempotency_key IS NOT NULL").fetchall()
        steps = conn.execute("SELECT task_id, array_agg(seq ORDER BY seq) FROM ossa.steps GROUP BY task_id").fetchall()
        ended = [task_id for (task_id,) in conn.execute("SELECT task_id FROM ossa.outcomes").fetchall()]
        counted = conn.execute("SELECT coalesce(sum(tokens), 0) FROM ossa.usage_daily").fetchone()
    kept_steps = dict(steps)
    for writer in writers:
        assert writer.accepted.items() <= dict(tasks).items()
        assert all(kept_steps[task_id][:many] == list(range(many)) for task_id, many in writer.steps.items())
        assert writer.finished <= set(ended)
    keys = [key for _, key in tasks]
    assert len(keys) == len(set(keys)), "a task was accepted twice"
    assert all(seqs == list(range(len(seqs))) for seqs in kept_steps.values()), "a step was written twice, or lost"
    assert counted == (len(ended),), "a task's usage was counted twice, or not at all"
    record_property("acknowledged", acknowledged())


async def test_what_is_killed_comes_back_as_a_replica_that_is_read_from(
    services: Services, address: Address, stores: PostgresStores
) -> None:
    await until(lambda: services.problem("postgres-ha") is None)
    deadline = time.monotonic() + BEGIN_AGAIN_S
    while stores.lists.served["replica"] == 0:
        assert time.monotonic() < deadline, "no replica is read from after a failover"
        await stores.journal.tasks(tenant=TENANT)
        await asyncio.sleep(0.1)
