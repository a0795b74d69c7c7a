"""The fake's own verbs; tests/contract holds it to the stores' promises."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus, Usage, UsageToday
from ossa.testing.stores import MemoryStores
from tests.support.clock import ManualClock

pytestmark = pytest.mark.asyncio


def task(number: int = 1) -> NewTask:
    return NewTask(id=f"task_{number}", tenant="acme", request=TaskRequest(messages=[{"role": "user"}]))


async def test_while_it_is_down_every_call_is_unavailable() -> None:
    stores = MemoryStores()
    stores.go_down()
    for call in (
        stores.journal.accept(task(), owner=None),
        stores.journal.ping(),
        stores.keys.find(b""),
        stores.fleet.load(),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    stores.come_back()
    assert (await stores.journal.accept(task(), owner=None)).created


async def test_leases_end_by_its_clock() -> None:
    clock = ManualClock()
    journal = MemoryStores(clock.now).journal
    await journal.renew("old", ttl_s=5)
    await journal.accept(task(), owner="old")
    await journal.renew("new", ttl_s=60)
    assert await journal.claim(owner="new", limit=1) == []
    clock.advance(5)
    assert [t.fence for t in await journal.claim(owner="new", limit=1)] == [2]


async def test_usage_starts_anew_at_midnight_utc() -> None:
    clock = ManualClock(datetime(2026, 5, 6, 23, 59, tzinfo=UTC))
    journal = MemoryStores(clock.now).journal
    await journal.accept(task(), owner="a")
    outcome = Outcome(status=TaskStatus.SUCCEEDED, usage=Usage(prompt_tokens=3))
    await journal.finish("task_1", fence=1, outcome=outcome, usage_subjects=["tenant:acme"])
    assert await journal.usage_today("tenant:acme") == UsageToday(tokens=3)
    clock.advance(60)
    assert await journal.usage_today("tenant:acme") == UsageToday()


async def test_what_it_returns_shares_nothing_with_what_was_given() -> None:
    journal = MemoryStores().journal
    new = task()
    await journal.accept(new, owner=None)
    new.request.messages[0]["role"] = "changed"
    (await journal.get("task_1")).request.messages.clear()
    assert (await journal.get("task_1")).request.messages == [{"role": "user"}]
