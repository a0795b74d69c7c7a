"""Several processes spend one budget on one PostgreSQL, and some are killed between reserve and settle."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ossa.contracts.budgets import Budget, Reservation, subjects_of
from ossa.contracts.configuration import Database
from ossa.contracts.errors import BudgetExceeded
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.budget_rules import nanos
from ossa.stores.postgres import PostgresStores

HARD_USD = 3.0
LEASE_S = 1.0
PROCESSES = 4
KILLS = 8
WORKER = Path(__file__).with_name("budget_worker.py")


@pytest.fixture(scope="module")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("budgets")) / "postgres")
    yield server.start()
    server.erase()


class Workers:
    """Processes that spend, and what they say a provider has billed."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn, self._folder = dsn, folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._count = 0

    def start(self) -> None:
        name = f"worker-{self._count}"
        self._count += 1
        command = [sys.executable, str(WORKER), self._dsn, name, str(self._folder / name), str(LEASE_S)]
        self._running[name] = subprocess.Popen(command)

    def kill_one(self, rng: random.Random) -> None:
        """One that has billed something."""
        known = sorted(name for name in self._running if self._bills(name))
        if known:
            process = self._running.pop(rng.choice(known))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def done(self) -> bool:
        return all(process.poll() == 0 for process in self._running.values())

    def billed(self) -> int:
        return sum(sum(self._bills(path.name)) for path in self._folder.iterdir())

    def _bills(self, name: str) -> list[int]:
        path = self._folder / name
        return [int(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


async def test_killed_processes_never_make_the_hard_limit_pass_and_leave_nothing_reserved(
    dsn: str, tmp_path: Path
) -> None:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    for kind, name in (("tenant", "acme"), ("pool", "security")):
        budget = Budget(owner="o", kind=kind, name=name, period="month", hard_usd=HARD_USD)  # type: ignore[arg-type]
        await stores.budgets.put(budget)
    workers, rng = Workers(dsn, tmp_path), random.Random(5)
    for _ in range(PROCESSES):
        workers.start()
    try:
        most, kills, deadline = 0, 0, time.monotonic() + 120
        while not workers.done():
            assert time.monotonic() < deadline
            most = max(most, *_used(dsn))
            if kills < KILLS and workers.billed() > (kills + 1) * nanos(HARD_USD) // (KILLS + 3):
                workers.kill_one(rng)
                workers.start()
                kills += 1
            await stores.budgets.recover()
            await asyncio.sleep(0.01)
    finally:
        workers.stop()
    async with asyncio.timeout(30):
        while any(one.reserved_usd for one in await stores.budgets.budgets()):
            await stores.budgets.recover()
            await asyncio.sleep(0.1)

    found = (await stores.budgets.budgets())[0]
    assert kills == KILLS
    assert 0 < most <= nanos(HARD_USD)
    assert max(_used(dsn)) <= nanos(HARD_USD)
    assert workers.billed() <= nanos(found.spent_usd) + nanos(found.in_doubt_usd)
    assert found.in_doubt_usd > 0, "no kill fell between reserve and settle: the test shows nothing"
    assert found.left_usd < 0.01, "the budget was not tried to its end"
    await stores.close()


async def test_two_processes_that_reserve_at_once_do_not_get_the_same_money(dsn: str) -> None:
    """Each store has connections of its own, as another process would."""
    stores = [PostgresStores(Database(), dsn) for _ in range(4)]
    for one in stores:
        await one.open()
    await stores[0].budgets.put(Budget(owner="o", kind="tenant", name="race", period="day", hard_usd=1.0))
    subjects = subjects_of(tenant="race", pool="p", manifest="m", task_id="t")

    async def reserve(number: int) -> bool:
        asked = Reservation(id=f"race-{number}", tenant="race", subjects=subjects, least_usd=0.03, most_usd=0.03)
        try:
            await stores[number % 4].budgets.reserve(asked)
        except BudgetExceeded:
            return False
        return True

    granted = await asyncio.gather(*(reserve(number) for number in range(200)))
    assert sum(granted) == 33
    for one in stores:
        await one.close()


def _used(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT reserved + spent + in_doubt FROM ossa.budget_accounts").fetchall()
    return [0, *(used for (used,) in rows)]
