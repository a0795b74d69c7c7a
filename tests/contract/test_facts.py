"""What `ossa.contracts.events.FactLog` and `ProcessedEvents` promise, of every store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.errors import Conflict, Fenced
from ossa.contracts.events import SYSTEM_TENANT, Event, Fact, LogItem, Message
from ossa.contracts.facts import FACTS, Act
from ossa.contracts.origin import Origin, acting
from ossa.contracts.stores import Stores
from ossa.contracts.task import TaskStatus
from ossa.events.schemas import check_event
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores import MemoryStores

pytestmark = pytest.mark.asyncio


class Noted(Act):
    """Something was noted, for these tests alone"""

    number: int = 0


Noted.TYPE = "ossa.test.noted.v1"
assert Noted.TYPE not in FACTS


@pytest.fixture
async def emitting(dsn: str | None) -> AsyncIterator[Stores]:
    source = EventSettings(source="/here")
    opened: Stores = MemoryStores(events=source) if dsn is None else PostgresStores(Database(), dsn, events=source)
    await opened.open()
    yield opened
    await opened.close()


def note(number: int = 0, *, key: str = "test/1", tenant: str = SYSTEM_TENANT, name: str = "") -> Fact:
    return Fact(Noted(number=number), key=key, tenant=tenant, name=name)


async def items(stores: Stores, after: int = 0, **filters: Any) -> list[LogItem]:
    found: list[LogItem] = []
    while True:
        page = await stores.facts.read(after, limit=100, **filters)
        found += page.items
        if page.end == after or page.end >= await stores.facts.settled():
            return found
        after = page.end


async def events(stores: Stores, **filters: Any) -> list[Event]:
    return [item.content for item in await items(stores, **filters) if isinstance(item.content, Event)]


def numbers(found: list[LogItem]) -> list[int]:
    return [item.content.data.get("number", 0) for item in found if isinstance(item.content, Event)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < end, "it did not come true within 20 s"
        await asyncio.sleep(0.01)


# What the journal tells


async def test_a_task_s_life_is_told_in_order_under_ids_that_say_what_it_is(emitting: Stores, made: Any) -> None:
    new = made.task()
    await emitting.journal.accept(new, owner="a")
    await emitting.journal.append(new.id, fence=1, steps=[made.step(0, "route"), made.step(1)])
    await emitting.journal.finish(
        new.id, fence=1, outcome=made.outcome(), steps=[made.step(2, "tool_result", name="x")]
    )
    found = await events(emitting)
    assert [event.id for event in found] == [f"{new.id}:{end}" for end in ("accepted", "0", "1", "2", "finished")]
    assert {(e.source, e.subject, e.partitionkey, e.tenant) for e in found} == {("/here", new.id, new.id, "acme")}
    assert found[1].time == made.step(0).at
    assert found[4].data["status"] == "succeeded"
    assert found[4].data["usage"]["cost_usd"] == 0.5
    for event in found:
        check_event(event)
        assert Event.model_validate_json(event.model_dump_json()) == event


async def test_neither_prompt_nor_answer_is_told(emitting: Stores, made: Any) -> None:
    new = made.task(text="my secret question", key="my key")
    await emitting.journal.accept(new, owner="a")
    secret = {"arguments": "secret", "content": "secret", "name": "tool"}
    await emitting.journal.append(new.id, fence=1, steps=[made.step(0, "tool_call", **secret)])
    outcome = made.outcome().model_copy(update={"message": {"role": "assistant", "content": "a secret answer"}})
    await emitting.journal.finish(new.id, fence=1, outcome=outcome)
    shown = json.dumps([event.model_dump(mode="json") for event in await events(emitting)])
    assert "secret" not in shown
    assert "my key" not in shown
    assert '"tool": "tool"' in shown


async def test_what_is_not_written_is_not_told(emitting: Stores, made: Any) -> None:
    new = made.task(key="k")
    await emitting.journal.accept(new, owner="a")
    await emitting.journal.accept(made.task(key="k"), owner="a")
    with pytest.raises(Fenced):
        await emitting.journal.append(new.id, fence=7, steps=[made.step(0)])
    with pytest.raises(Conflict):
        await emitting.journal.append(new.id, fence=1, steps=[made.step(5)])
    await emitting.journal.append(new.id, fence=1, steps=[])
    await emitting.journal.append(new.id, fence=1, steps=[made.step(0)])
    await emitting.journal.append(new.id, fence=1, steps=[made.step(0), made.step(1)])
    await emitting.journal.finish(new.id, fence=1, outcome=made.outcome())
    await emitting.journal.finish(new.id, fence=1, outcome=made.outcome())
    ends = [event.id.rpartition(":")[2] for event in await events(emitting)]
    assert ends == ["accepted", "0", "1", "finished"]


async def test_a_queued_task_that_is_cancelled_is_told_as_cancelled(emitting: Stores, made: Any) -> None:
    new = made.task()
    await emitting.journal.accept(new, owner=None)
    await emitting.journal.request_cancel(new.id, tenant="acme")
    found = await events(emitting)
    assert [event.id.rpartition(":")[2] for event in found] == ["accepted", "finished"]
    assert (found[1].data["status"], found[1].data["error"]) == ("cancelled", "cancelled")


async def test_names_that_are_long_or_odd_are_told_in_part(emitting: Stores, made: Any) -> None:
    new = made.task("日本 \u2028")
    await emitting.journal.accept(new, owner="a")
    usage = made.outcome().usage.model_copy(update={"prompt_tokens": 10**30, "cost_usd": float("nan")})
    outcome = made.outcome().model_copy(update={"model": "m\0" * 5000, "usage": usage})
    await emitting.journal.finish(new.id, fence=1, outcome=outcome)
    last = (await events(emitting))[-1]
    assert (len(last.data["model"]), last.tenant) == (256, "日本 \u2028")
    assert last.data["usage"] == {"completion_tokens": 1, "model_calls": 1}


async def test_many_tasks_at_once_are_told_each_in_its_order(emitting: Stores, made: Any) -> None:
    async def work(new: Any) -> None:
        await emitting.journal.accept(new, owner="a")
        for seq in range(4):
            await emitting.journal.append(new.id, fence=1, steps=[made.step(seq)])
        await emitting.journal.finish(new.id, fence=1, outcome=made.outcome())

    news = [made.task(f"tenant-{number % 3}") for number in range(40)]
    await asyncio.gather(*(work(new) for new in news))
    found = await events(emitting)
    for new in news:
        mine = [event for event in found if event.subject == new.id]
        assert [event.id.rpartition(":")[2] for event in mine] == ["accepted", "0", "1", "2", "3", "finished"]
        assert {event.tenant for event in mine} == {new.tenant}
    assert await emitting.facts.count(0) == len(found) == 240


async def test_an_ended_task_and_its_fact_are_one_commit(emitting: Stores, made: Any) -> None:
    """Whoever sees the end sees the fact, and the other way round."""
    new = made.task()
    await emitting.journal.accept(new, owner="a")
    finishing = asyncio.create_task(emitting.journal.finish(new.id, fence=1, outcome=made.outcome()))
    while not finishing.done():
        await asyncio.sleep(0)
        ended = (await emitting.journal.get(new.id)).status is TaskStatus.SUCCEEDED
        if ended:
            assert any(event.id == f"{new.id}:finished" for event in await events(emitting))
    await finishing


async def test_a_fact_says_who_acted_in_which_request_and_trace(emitting: Stores, made: Any) -> None:
    origin = Origin(actor="key/key_1", request_id="req_1", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    new = made.task()
    with acting(origin):
        await emitting.journal.accept(new, owner="a")
        await emitting.facts.tell([note()])
    await emitting.journal.append(new.id, fence=1, steps=[made.step(0)])
    first, second, third = await events(emitting)
    for event in (first, second):
        assert (event.actor, event.requestid, event.traceparent) == ("key/key_1", "req_1", origin.traceparent)
    assert (third.actor, third.requestid, third.traceparent) == ("", "", "")


# The log


async def test_facts_of_the_fleet_are_told_beside_those_of_tasks_and_read_without_them(
    emitting: Stores, made: Any
) -> None:
    await emitting.facts.tell([note(1), note(2, tenant="acme")])
    await emitting.journal.accept(made.task(), owner="a")
    await emitting.facts.tell([note(3, key="test/\0 odd", name="n")])
    await emitting.facts.tell([])
    assert len(await events(emitting)) == 4
    fleet = await events(emitting, tasks=False)
    assert [event.data.get("number") for event in fleet] == [1, 2, 3]
    assert {event.type for event in fleet} == {"ossa.test.noted.v1"}
    assert fleet[2].id == "test/\0 odd:n"
    assert await emitting.facts.count(0, tasks=False) == 3


async def test_a_tenant_reads_its_own_facts_alone(emitting: Stores, made: Any) -> None:
    await emitting.facts.tell([note(1), note(2, tenant="acme"), note(3, tenant="other")])
    mine = made.task()
    await emitting.journal.accept(mine, owner="a")
    await emitting.journal.accept(made.task("other"), owner="a")
    assert {event.tenant for event in await events(emitting, tenant="acme")} == {"acme"}
    assert len(await events(emitting, tenant="acme")) == 2
    assert len(await events(emitting, tenant="acme", tasks=False)) == 1
    assert await events(emitting, tenant="nobody") == []


async def test_pages_go_forward_and_back_over_the_same_facts(emitting: Stores) -> None:
    for first in range(0, 30, 3):
        await emitting.facts.tell([note(first), note(first + 1), note(first + 2)])
    forward: list[int] = []
    after = 0
    while len(forward) < 30:
        page = await emitting.facts.read(after, limit=2)
        forward += numbers(list(page.items))
        assert page.end > after
        after = page.end
    assert forward == list(range(30))
    back: list[int] = []
    before = await emitting.facts.settled()
    while before:
        page = await emitting.facts.read_back(before, limit=4)
        back += numbers(list(page.items))
        before = page.end
    assert back == list(range(29, -1, -1))
    middle = (await items(emitting))[13].offset
    assert numbers(list((await emitting.facts.read(middle, limit=1)).items))[0] == 13
    assert numbers(list((await emitting.facts.read_back(middle, limit=1)).items))[0] == 12
    assert await emitting.facts.count(middle) == 17


async def test_who_waits_is_woken_by_a_fact(emitting: Stores, made: Any) -> None:
    end = await emitting.facts.settled()
    assert not await emitting.facts.wait(end, within_s=0.01)
    waiting = asyncio.create_task(emitting.facts.wait(end, within_s=20))
    await emitting.journal.accept(made.task(), owner="a")
    assert await waiting
    assert await emitting.facts.settled() > end


async def test_a_row_that_commits_late_is_not_passed_over(emitting: Stores, dsn: str | None) -> None:
    if dsn is None:
        pytest.skip("left out: the fake commits at once")
    insert = "SELECT ossa.tell('t', 'late', 1, '[[\"x\", \"ossa.test.noted.v1\", null, {}]]')"
    await emitting.facts.tell([note(1)])
    slow = await psycopg.AsyncConnection.connect(dsn)
    await slow.execute(insert)
    await emitting.facts.tell([note(2)])
    assert numbers(await items(emitting)) == [1]
    await asyncio.sleep(0.05)  # longer than a row may be missing before the locks are asked
    assert numbers(await items(emitting)) == [1]
    await slow.commit()
    await until_numbers(emitting, [1, 0, 2])
    await slow.close()


async def test_a_row_that_was_rolled_back_holds_nobody_up(emitting: Stores, dsn: str | None) -> None:
    if dsn is None:
        pytest.skip("left out: the fake commits at once")
    await emitting.facts.tell([note(1)])
    failed = await psycopg.AsyncConnection.connect(dsn)
    other = await psycopg.AsyncConnection.connect(dsn)
    await other.execute("CREATE TABLE ossa.somebody_else_s (n integer)")  # a long write that told nothing
    await failed.execute("SELECT ossa.tell('t', 'gone', 1, '[]'), ossa.tell('t', 'gone', 1, '[]')")
    await emitting.facts.tell([note(2)])
    await failed.rollback()
    await until_numbers(emitting, [1, 2])
    await other.rollback()
    for conn in (failed, other):
        await conn.close()


async def until_numbers(stores: Stores, wanted: list[int]) -> None:
    async def there() -> bool:
        return numbers(await items(stores)) == wanted

    await until(there)


async def test_old_facts_are_removed_a_day_at_a_time(emitting: Stores, dsn: str | None) -> None:
    await emitting.facts.tell([note(1)])
    assert await emitting.facts.prune(before=datetime.now(UTC) - timedelta(days=1)) == 0
    assert numbers(await items(emitting)) == [1]
    await emitting.facts.prune(before=datetime.now(UTC) + timedelta(days=2))
    assert await items(emitting) == []
    await emitting.facts.tell([note(2)])
    assert numbers(await items(emitting)) == [2]


# Groups


async def test_shares_are_divided_among_members_and_taken_over(emitting: Stores) -> None:
    log = emitting.facts
    first = await log.join("g", shards=4, owner="a", ttl_s=60)
    assert [lease.shard for lease in first] == [0, 1, 2, 3]
    assert await log.join("g", shards=4, owner="b", ttl_s=60) == []
    mine = await log.join("g", shards=4, owner="a", ttl_s=60)
    theirs = await log.join("g", shards=4, owner="b", ttl_s=60)
    assert (len(mine), len(theirs)) == (2, 2)
    assert {lease.shard for lease in (*mine, *theirs)} == {0, 1, 2, 3}
    await log.leave("g", owner="a")
    assert len(await log.join("g", shards=4, owner="b", ttl_s=60)) == 4


async def test_a_share_of_a_dead_member_is_another_s_after_its_lease(emitting: Stores) -> None:
    log = emitting.facts
    (old,) = await log.join("g", shards=1, owner="a", ttl_s=0.05)

    async def taken() -> bool:
        return bool(await log.join("g", shards=1, owner="b", ttl_s=60))

    await until(taken)
    (new,) = await log.join("g", shards=1, owner="b", ttl_s=60)
    assert new.fence > old.fence
    assert await log.commit(old, 7, owner="a") is None
    committed = await log.commit(new, 7, owner="b")
    assert committed is not None
    assert [position.offset for position in await log.positions()] == [7]


async def test_a_group_goes_on_where_it_is_put_and_its_reader_notices(emitting: Stores) -> None:
    log = emitting.facts
    (lease,) = await log.join("g", shards=1, owner="a", ttl_s=60)
    lease = await log.commit(lease, 70, owner="a") or lease
    await log.seek("g", 5)
    assert await log.commit(lease, 80, owner="a") is None
    (again,) = await log.join("g", shards=1, owner="a", ttl_s=60)
    assert again.offset == 5
    await log.seek("fresh", 9)
    assert (await log.join("fresh", shards=2, owner="a", ttl_s=60))[0].offset == 9


async def test_a_new_group_starts_with_the_oldest_fact_or_after_the_newest(emitting: Stores) -> None:
    log = emitting.facts
    await log.tell([note()])
    (oldest,) = await log.join("old", shards=1, owner="a", ttl_s=60)
    (newest,) = await log.join("new", shards=1, owner="a", ttl_s=60, newest=True)
    assert oldest.offset == 0
    assert newest.offset == await log.settled()


async def test_a_group_s_number_of_shares_changes_once_its_old_members_have_left(emitting: Stores) -> None:
    log = emitting.facts
    for lease in await log.join("g", shards=2, owner="a", ttl_s=60):
        await log.commit(lease, 10 + lease.shard, owner="a")
    assert await log.join("g", shards=3, owner="b", ttl_s=60) == []
    assert len(await log.join("g", shards=2, owner="a", ttl_s=60)) == 2
    await log.leave("g", owner="a")
    leases = await log.join("g", shards=3, owner="b", ttl_s=60)
    assert [(lease.shard, lease.offset) for lease in leases] == [(0, 10), (1, 10), (2, 10)]


async def test_dead_letters_are_kept_as_they_came(emitting: Stores) -> None:
    log = emitting.facts
    letters = [Message("any", f"k\0{number}", b"\xff\0", {"why": "日本"}) for number in range(3)]
    await log.bury(letters[:2])
    await log.bury(letters[2:])
    found = await log.dead(0, limit=10)
    assert [(m.key, m.value, dict(m.headers)) for _, m in found] == [(m.key, m.value, dict(m.headers)) for m in letters]
    assert [m.key for _, m in await log.dead(found[1][0], limit=1)] == ["k\x001"]
    assert await log.dead_end() == found[-1][0] + 1


async def test_processed_events_are_each_consumer_s_own_and_are_forgotten(emitting: Stores) -> None:
    processed = emitting.processed
    await processed.add("a", ["1", "2"])
    await processed.add("a", ["2", "3"])
    await processed.add("b", ["9"])
    assert await processed.known("a", ["1", "3", "9", "x"]) == {"1", "3"}
    assert await processed.prune(before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await processed.prune(before=datetime.now(UTC) + timedelta(hours=1)) == 4
    assert await processed.known("a", ["1"]) == frozenset()
