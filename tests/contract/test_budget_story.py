"""Any story of replicas, crashes, recoveries and new days: no hard limit is passed, and nothing stays reserved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from ossa.contracts.budgets import Budget, Reservation, period_key, subjects_of
from ossa.contracts.configuration import Database
from ossa.contracts.errors import BudgetExceeded
from ossa.contracts.task import Task
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.budget_rules import nanos
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.budgets import PostgresBudgets
from ossa.testing.stores import MemoryStores
from tests.contract.conftest import Made, empty

T = TypeVar("T")
TENANTS = ("acme", "umbrella")
POOLS = ("security", "intelligence")
START = datetime(2026, 11, 30, 22, tzinfo=UTC)
"""Two hours before a day and a month end."""

SOURCES: dict[str, EmbeddedPostgres | None] = {"memory": None}


class Replica:
    """An owner with a task; `open` are its reservations: id -> most USD."""

    def __init__(self, name: str, task: Task) -> None:
        self.name, self.task, self.fence = name, task, task.fence
        self.open: dict[str, float] = {}
        self.seq = 0
        self.count = 0


class BudgetStory(RuleBasedStateMachine):
    kind = "memory"
    replicas = Bundle("replicas")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = START
        self.made = Made()
        server = SOURCES[self.kind]
        if server is None:
            memory = MemoryStores(clock=lambda: self.now)
            self.stores: Any = memory
            self.budgets: Any = memory.budgets
        else:
            dsn = server.start()
            self.stores = PostgresStores(Database(), dsn)
            self.do(self.stores.open())
            empty(dsn)
            self.budgets = PostgresBudgets(self.stores._reader, clock=lambda: self.now)
        self.names = 0
        for one in (
            Budget(owner="o", kind="tenant", name="acme", period="day", hard_usd=1.0),
            Budget(owner="o", kind="tenant", name="acme", period="month", hard_usd=1.6),
            Budget(owner="o", kind="pool", name="security", period="day", hard_usd=1.2),
            Budget(owner="o", kind="agent", name="reviewer", tenant="umbrella", period="day", hard_usd=0.7),
            Budget(owner="o", kind="task", name="*", period="task", hard_usd=0.5),
        ):
            self.do(self.budgets.put(one))

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(target=replicas, tenant=st.sampled_from(TENANTS))
    def a_replica_accepts_a_task(self, tenant: str) -> Replica:
        self.names += 1
        name = f"replica-{self.names}"
        self.do(self.stores.journal.renew(name, ttl_s=1e6))
        return Replica(name, self.do(self.stores.journal.accept(self.made.task(tenant), owner=name)).task)

    @rule(
        replica=replicas,
        pool=st.sampled_from(POOLS),
        most=st.floats(0.01, 0.6),
        share=st.floats(0, 1),
        together=st.integers(1, 3),
    )
    def it_reserves(self, replica: Replica, pool: str, most: float, share: float, together: int) -> None:
        wanted = []
        for _ in range(together):
            replica.count += 1
            task = replica.task
            wanted.append(
                Reservation(
                    id=f"{task.id}:{replica.fence}:{replica.count}",
                    tenant=task.tenant,
                    subjects=subjects_of(tenant=task.tenant, pool=pool, manifest="reviewer", task_id=task.id),
                    least_usd=most * share,
                    most_usd=most,
                    task_id=task.id,
                    fence=replica.fence,
                    ttl_s=1e6,
                )
            )
        grants = self.do(_gather([self.budgets.reserve(one) for one in wanted]))
        for asked, grant in zip(wanted, grants, strict=True):
            if isinstance(grant, BudgetExceeded):
                continue
            assert not isinstance(grant, BaseException), grant
            assert asked.least_usd - 1e-9 <= grant.usd <= asked.most_usd + 1e-9
            replica.open[asked.id] = grant.usd

    @rule(replica=replicas, share=st.floats(0, 1), repeats=st.integers(1, 2))
    def a_call_ends_and_is_settled(self, replica: Replica, share: float, repeats: int) -> None:
        if replica.open:
            name, usd = replica.open.popitem()
            for _ in range(repeats):
                self.do(self.budgets.settle(name, usd * share))

    @rule(replica=replicas, share=st.floats(0, 1), settles=st.booleans())
    def a_step_is_committed_and_perhaps_settled(self, replica: Replica, share: float, settles: bool) -> None:
        if not replica.open:
            return
        name, usd = replica.open.popitem()
        step = self.made.step(replica.seq, message={"role": "assistant", "content": "x"}, reservation=name)
        step = step.model_copy(update={"usage": step.usage.model_copy(update={"cost_usd": usd * share})})
        replica.seq += 1
        self.do(self.stores.journal.append(replica.task.id, fence=replica.fence, steps=[step]))
        if settles:
            self.do(self.budgets.settle(name, usd * share))

    @rule(replica=replicas)
    def a_call_fails_and_nobody_knows_its_cost(self, replica: Replica) -> None:
        if replica.open:
            self.do(self.budgets.settle(replica.open.popitem()[0], None))

    @rule(target=replicas, replica=consumes(replicas), late=st.booleans())
    def it_crashes_and_another_takes_over(self, replica: Replica, late: bool) -> Any:
        """With `late` a settlement of the dead one still arrives."""
        self.do(self.stores.journal.retire(replica.name))
        self.names += 1
        heir = f"replica-{self.names}"
        self.do(self.stores.journal.renew(heir, ttl_s=1e6))
        taken = [
            task for task in self.do(self.stores.journal.claim(owner=heir, limit=100)) if task.id == replica.task.id
        ]
        self.do(self.budgets.recover())
        if late and replica.open:
            name, usd = replica.open.popitem()
            self.do(self.budgets.settle(name, usd / 2))
        if not taken:
            return multiple()
        found = Replica(heir, taken[0])
        found.seq = replica.seq
        return found

    @rule(replica=consumes(replicas))
    def its_task_ends(self, replica: Replica) -> None:
        self.do(self.stores.journal.finish(replica.task.id, fence=replica.fence, outcome=self.made.outcome()))

    @rule(hours=st.integers(1, 30))
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def somebody_recovers(self) -> None:
        self.do(_gather([self.budgets.recover() for _ in range(2)]))

    def accounts(self) -> list[tuple[int, int, int, int]]:
        """(hard, spent, reserved, in doubt) of every budget in every period there was, in billionths of a dollar."""
        server = SOURCES[self.kind]
        if server is None:
            hard = {name: nanos(one.hard_usd) for name, one in self.budgets._budgets.items()}
            sums = self.budgets._sums.items()
            return [(hard[name], found.spent, found.reserved, found.in_doubt) for (name, _), found in sums]
        with psycopg.connect(server.start()) as conn:
            return conn.execute(
                "SELECT b.hard, a.spent, a.reserved, a.in_doubt "
                "FROM ossa.budget_accounts a JOIN ossa.budgets b ON b.id = a.budget_id"
            ).fetchall()

    @invariant()
    def no_hard_limit_is_passed(self) -> None:
        for hard, *parts in self.accounts() if hasattr(self, "budgets") else ():
            assert min(parts) >= 0, parts
            assert sum(parts) <= hard, (hard, parts)

    def teardown(self) -> None:
        if not hasattr(self, "budgets"):
            return
        for number in range(1, self.names + 1):
            self.do(self.stores.journal.retire(f"replica-{number}"))
        self.do(self.budgets.recover())
        assert all(reserved == 0 for _, _, reserved, _ in self.accounts())
        assert self.do(self.budgets.recover()).in_doubt == 0
        self.do(self.stores.close())
        self.loop.close()


async def _gather(works: list[Any]) -> list[Any]:
    return await asyncio.gather(*works, return_exceptions=True)


class PostgresStory(BudgetStory):
    kind = "postgres"


@pytest.fixture(scope="module")
def server(embedded: EmbeddedPostgres) -> Iterator[None]:
    SOURCES["postgres"] = embedded
    yield
    del SOURCES["postgres"]


def test_over_memory() -> None:
    story = BudgetStory.TestCase
    story.settings = settings(stateful_step_count=40)
    story().runTest()


def test_over_postgres(server: None) -> None:
    story = PostgresStory.TestCase
    story.settings = settings(
        max_examples=settings.default.max_examples // 4,
        stateful_step_count=25,
        suppress_health_check=list(HealthCheck),
    )
    story().runTest()


def test_days_and_months_are_those_of_utc() -> None:
    assert period_key("day", now=START + timedelta(hours=2), task_id="t") == "2026-12-01"
    assert period_key("month", now=START + timedelta(hours=1.9), task_id="t") == "2026-11"
    assert period_key("task", now=START, task_id="t") == "t"
