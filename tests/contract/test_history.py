"""Ended tasks do not stay for ever; open ones do, however old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.errors import NotFound
from ossa.contracts.stores import Pruned, Stores
from ossa.contracts.task import TaskStatus
from ossa.gateway.api.responses import new_task_id

pytestmark = pytest.mark.asyncio

DAY = timedelta(days=1)


def soon() -> datetime:
    """Later than all that was written by now."""
    return datetime.now(UTC) + DAY


async def ended(stores: Stores, made: Any, **told: Any) -> str:
    new = made.task(**told)
    await stores.journal.accept(new, owner="me")
    await stores.journal.finish(new.id, fence=1, outcome=made.outcome(), steps=[made.step(0)])
    return str(new.id)


async def test_what_ended_before_is_gone_with_its_steps_and_what_is_open_stays(stores: Stores, made: Any) -> None:
    gone = [await ended(stores, made) for _ in range(3)]
    queued, running = made.task(), made.task()
    await stores.journal.accept(queued, owner=None)
    await stores.journal.accept(running, owner="me")
    await stores.journal.append(running.id, fence=1, steps=[made.step(0)])
    assert (await stores.history.prune(before=soon())).tasks == 3
    for task_id in gone:
        with pytest.raises(NotFound):
            await stores.journal.get(task_id)
    assert {task.id for task in await stores.journal.tasks(tenant="acme")} == {queued.id, running.id}
    await stores.journal.finish(running.id, fence=1, outcome=made.outcome(), steps=[made.step(1)])
    assert [step.seq for step in await stores.journal.steps(running.id)] == [0, 1]


async def test_what_ended_later_stays(stores: Stores, made: Any) -> None:
    task_id = await ended(stores, made)
    assert await stores.history.prune(before=datetime.now(UTC) - DAY) == Pruned(tasks=0, parts=0)
    assert (await stores.journal.get(task_id)).status is TaskStatus.SUCCEEDED


async def test_more_than_a_batch_goes_in_one_round(stores: Stores, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.stores.postgres.journal.PRUNED_AT_ONCE", 2)
    for _ in range(5):
        await ended(stores, made)
    assert (await stores.history.prune(before=soon())).tasks == 5


async def test_a_forgotten_tasks_key_makes_a_new_task(stores: Stores, made: Any) -> None:
    first = await ended(stores, made, key="once")
    await stores.history.prune(before=soon())
    again = await stores.journal.accept(made.task(key="once"), owner=None)
    assert again.created
    assert again.task.id != first


async def test_sums_of_days_outlive_their_tasks(stores: Stores, made: Any) -> None:
    await ended(stores, made)
    await stores.history.prune(before=soon())
    assert [spent.tasks for spent in await stores.spending.spending(since=datetime.now(UTC).date())] == [1]


# over PostgreSQL alone


@pytest.fixture
def postgres(kind: str, dsn: str | None) -> str:
    if dsn is None:
        pytest.skip("in memory there are no parts")
    return dsn


def parts(dsn: str) -> dict[str, set[str]]:
    query = """SELECT p.relname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               JOIN pg_class p ON p.oid = i.inhparent
               WHERE p.relname IN ('steps', 'outcomes') AND p.relkind = 'p' AND p.relnamespace = 'ossa'::regnamespace"""
    found: dict[str, set[str]] = {"steps": set(), "outcomes": set()}
    with psycopg.connect(dsn) as conn:
        for whole, part in conn.execute(query).fetchall():
            found[whole].add(part)
    return found


async def test_the_next_weeks_have_their_parts_before_they_come(postgres: str, stores: Stores) -> None:
    await stores.history.prune(before=datetime.now(UTC) - 30 * DAY)
    with psycopg.connect(postgres) as conn:
        next_weeks = [
            str(conn.execute("SELECT to_char(ossa.week_of(now() + %s), '_YYYYMMDD')", (n * 7 * DAY,)).fetchone()[0])  # type: ignore[index]
            for n in (1, 2)
        ]
    for whole, found in parts(postgres).items():
        assert {whole + week for week in next_weeks} <= found


async def test_a_week_whose_tasks_are_gone_is_dropped_whole_and_never_with_a_task_left(
    postgres: str, stores: Stores, made: Any
) -> None:
    """Sees the week after next from a time when it is over, on both sides of a task that is open in it."""
    await stores.history.prune(before=datetime.now(UTC) - 30 * DAY)
    with psycopg.connect(postgres, autocommit=True) as conn:
        row = conn.execute(
            "SELECT ossa.task_floor(ossa.week_of(now() + interval '336 hours') + interval '1 hour'), "
            "ossa.week_of(now() + interval '336 hours') + interval '8 days'"
        ).fetchone()
        assert row is not None
        floor, over = row
        new = made.task().model_copy(update={"id": floor + new_task_id()[17:]})
        await stores.journal.accept(new, owner="me")
        await stores.journal.append(new.id, fence=1, steps=[made.step(0)])
        where = conn.execute("SELECT c.relname FROM ossa.steps s JOIN pg_class c ON c.oid = s.tableoid").fetchone()
        assert where == ("steps" + over_week(conn, over),)
        before = parts(postgres)
        await stores.history.prune(before=over)
        assert "steps" + over_week(conn, over) in parts(postgres)["steps"], "its task is open"
        assert [step.seq for step in await stores.journal.steps(new.id)] == [0]
        await stores.journal.finish(new.id, fence=1, outcome=made.outcome())
        pruned = await stores.history.prune(before=over)
        assert pruned.tasks == 1
        left = parts(postgres)
        assert "steps" + over_week(conn, over) not in left["steps"]
        assert pruned.parts >= 2
        assert before["steps"] - left["steps"], "something was dropped"
        # So that other tests find what a fresh database has.
        conn.execute("DROP SCHEMA ossa CASCADE")


def over_week(conn: psycopg.Connection[Any], over: datetime) -> str:
    row = conn.execute("SELECT to_char(ossa.week_of(%s - interval '2 days'), '_YYYYMMDD')", (over,)).fetchone()
    assert row is not None
    return str(row[0])


async def test_one_at_a_time_prunes_and_the_others_go_on(postgres: str, stores: Stores, made: Any) -> None:
    await ended(stores, made)
    with psycopg.connect(postgres) as other:
        other.execute("SELECT ossa.history_mine()")  # until its transaction ends
        assert await stores.history.prune(before=soon()) == Pruned(tasks=0, parts=0)
        other.rollback()
    assert (await stores.history.prune(before=soon())).tasks == 1
