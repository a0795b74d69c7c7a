"""Any story of calls gives the same answers from the fake and from the embedded PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule, run_state_machine_as_test

from ossa.contracts.configuration import Database
from ossa.contracts.errors import OssaError
from ossa.contracts.stores import Accepted
from ossa.contracts.task import Task, TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores import MemoryStores

TENANTS = st.sampled_from(["acme", "other"])
OWNERS = st.sampled_from(["a", "b", None])
FENCES = st.integers(0, 3)
KINDS = st.sampled_from(["model", "tool_call"])
ENDS = st.sampled_from([TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED])


def plain(answer: Any) -> Any:
    """Without times, which differ."""
    if isinstance(answer, Accepted):
        return (plain(answer.task), answer.created)
    if isinstance(answer, Task):
        return answer.model_dump(exclude={"created_at", "updated_at", "finished_at"})
    if isinstance(answer, list):
        return [plain(item) for item in answer]
    return answer


class Story(RuleBasedStateMachine):
    dsn: str
    made: Any
    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.real, self.fake = PostgresStores(Database(pool_max=3), self.dsn), MemoryStores()
        self.runner.run(self.real.open())
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for table in ("tasks", "open_tasks", "outcomes", "steps", "usage_daily", "dispatchers"):
                conn.execute(f"DELETE FROM ossa.{table}")
        for owner in ("a", "b"):
            self.both(lambda journal, owner=owner: journal.renew(owner, ttl_s=3600))

    def both(self, call: Any) -> Any:
        answers = [self.answer(call(stores.journal)) for stores in (self.real, self.fake)]
        assert answers[0] == answers[1]
        return answers[0]

    def answer(self, call: Coroutine[Any, Any, Any]) -> Any:
        async def run() -> Any:
            return await call

        try:
            return plain(self.runner.run(run()))
        except OssaError as error:
            return type(error)

    @rule(target=tasks, tenant=TENANTS, owner=OWNERS, key=st.sampled_from([None, "k"]), body=st.sampled_from("xy"))
    def accept(self, tenant: str, owner: str | None, key: str | None, body: str) -> Any:
        new = self.made.task(tenant, key=key, body=body)
        self.both(lambda journal: journal.accept(new, owner=owner))
        return multiple(new.id)

    @rule(owner=st.sampled_from(["a", "b"]), limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> None:
        self.both(lambda journal: journal.claim(owner=owner, limit=limit))

    @rule(owner=st.sampled_from(["a", "b"]))
    def retire(self, owner: str) -> None:
        self.both(lambda journal: journal.retire(owner))

    @rule(owner=st.sampled_from(["a", "b"]))
    def renew(self, owner: str) -> None:
        self.both(lambda journal: journal.renew(owner, ttl_s=3600))

    @rule(task=tasks, fence=FENCES, first=st.integers(0, 3), count=st.integers(0, 3), kind=KINDS)
    def append(self, task: str, fence: int, first: int, count: int, kind: str) -> None:
        steps = [self.made.step(first + n, kind, n=n) for n in range(count)]
        self.both(lambda journal: journal.append(task, fence=fence, steps=steps))

    @rule(task=tasks, fence=FENCES, first=st.integers(0, 3), count=st.integers(0, 2), status=ENDS)
    def finish(self, task: str, fence: int, first: int, count: int, status: TaskStatus) -> None:
        steps = [self.made.step(first + n) for n in range(count)]
        subjects = ["tenant:acme", "manifest:m"]
        self.both(
            lambda journal: journal.finish(
                task, fence=fence, outcome=self.made.outcome(status), steps=steps, usage_subjects=subjects
            )
        )

    @rule(task=tasks, fence=FENCES)
    def release(self, task: str, fence: int) -> None:
        self.both(lambda journal: journal.release(task, fence=fence))

    @rule(task=tasks, tenant=TENANTS)
    def cancel(self, task: str, tenant: str) -> None:
        self.both(lambda journal: journal.request_cancel(task, tenant=tenant))

    @rule(task=tasks)
    def look(self, task: str) -> None:
        self.both(lambda journal: journal.get(task))
        self.both(lambda journal: journal.steps(task))

    @rule(tenant=TENANTS, status=st.sampled_from([None, *TaskStatus]), limit=st.integers(1, 5))
    def survey(self, tenant: str, status: TaskStatus | None, limit: int) -> None:
        self.both(lambda journal: journal.tasks(tenant=tenant, status=status, limit=limit))
        self.both(lambda journal: journal.count_open(tenant=tenant))
        self.both(lambda journal: journal.cancel_requests("a"))
        self.both(lambda journal: journal.usage_today("manifest:m"))

    def teardown(self) -> None:
        self.runner.run(self.real.close())
        self.runner.close()


def test_the_fake_and_the_real_journal_tell_the_same_story(embedded: EmbeddedPostgres, made: Any) -> None:
    limits = settings(
        max_examples=settings.default.max_examples // 4,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    Story.dsn, Story.made = embedded.start(), made
    run_state_machine_as_test(Story, settings=limits)
