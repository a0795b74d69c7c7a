"""Facts that are told in the background."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, Fact
from ossa.contracts.facts import AgentReady
from ossa.contracts.origin import Origin, acting
from ossa.events import fact_queue
from ossa.events.fact_queue import FactQueue
from ossa.testing.stores import MemoryStores


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_queue, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(fact_queue, "_LONGEST_PAUSE_S", 0.005)


def ready(number: int) -> Fact:
    return Fact(AgentReady(agent=f"a-{number}", pool="a", incarnation=str(number)), key="agent/a")


async def told(stores: MemoryStores) -> list[Event]:
    page = await stores.facts.read(0, limit=10_000)
    return [item.content for item in page.items if isinstance(item.content, Event)]


async def test_facts_are_told_in_order_in_few_rows_under_the_origin_of_who_put_them() -> None:
    stores = MemoryStores()
    queue = FactQueue(stores.facts)
    with acting(Origin(actor="key/1")):
        for number in range(200):
            queue.put(ready(number))
    queue.put(ready(200))
    assert await queue.settle(10)
    events = await told(stores)
    assert [event.data["agent"] for event in events] == [f"a-{number}" for number in range(201)]
    assert [event.actor for event in events] == [*["key/1"] * 200, ""]
    assert (await stores.facts.settled()) // 65_536 <= 3


async def test_what_the_log_did_not_answer_for_is_told_again_under_the_same_id() -> None:
    stores = MemoryStores()
    tell, calls = stores.facts.tell, 0

    async def lose_the_answer(facts: Sequence[Fact]) -> None:
        nonlocal calls
        calls += 1
        await tell(facts)
        if calls == 1:
            raise StoreUnavailable("The answer was lost.")

    stores.facts.tell = lose_the_answer  # type: ignore[method-assign]
    queue = FactQueue(stores.facts)
    queue.put(ready(1))
    assert await queue.settle(10)
    first, second = await told(stores)
    assert first.id == second.id


async def test_what_comes_while_too_much_waits_is_dropped_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fact_queue, "MOST_WAITING", 3)
    stores = MemoryStores()
    stores.go_down()
    queue = FactQueue(stores.facts)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            queue.put(ready(number))
    assert queue.dropped == 2
    assert caplog.records[-1].message == "facts_dropped"
    stores.come_back()
    assert await queue.settle(10)
    assert [event.data["agent"] for event in await told(stores)] == ["a-0", "a-1", "a-2"]


async def test_what_the_log_refuses_does_not_hold_up_the_rest() -> None:
    stores = MemoryStores()
    tell = stores.facts.tell

    async def refuse(facts: Sequence[Fact]) -> None:
        if facts[0].name == "bad":
            raise ValueError("no")
        await tell(facts)

    stores.facts.tell = refuse  # type: ignore[method-assign]
    queue = FactQueue(stores.facts)
    queue.put(Fact(ready(0).data, key="agent/a", name="bad"))
    assert await queue.settle(10)
    queue.put(ready(1))
    assert await queue.settle(10)
    assert queue.dropped == 1
    assert [event.data["agent"] for event in await told(stores)] == ["a-1"]


async def test_a_log_that_does_not_come_back_in_time_is_said_so() -> None:
    stores = MemoryStores()
    stores.go_down()
    queue = FactQueue(stores.facts)
    queue.put(ready(1))
    assert not await queue.settle(0.05)
    queue.close()
