"""What a consumer promises: nothing lost, what comes again recognised, one bad event in nobody's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, Message
from ossa.events.dead_letters import dead_letters, replay
from tests.unit.events.test_publisher import running
from tests.unit.events.world import World, in_order, until

pytestmark = pytest.mark.asyncio


async def published(world: World, tasks: int) -> list[str]:
    names = await world.do_tasks(tasks)
    async with running(world.publisher().run_forever()):
        await until(lambda: not world.waiting())
    return names


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


async def waiting(world: World, group: str = "audit") -> int:
    return sum(one.waiting for one in await world.bus.lag(group))


async def settled(world: World, *groups: str) -> None:
    """All is committed."""
    for _ in range(10_000):
        if not sum([await waiting(world, group) for group in groups]):
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it was not committed within 20 s")


async def test_every_event_is_handled_once_in_its_task_s_order_and_committed() -> None:
    world = World()
    tasks = await published(world, 10)
    async with running(world.consumer().run()):
        await until(lambda: len(world.handled) == 20)
    assert in_order(ids(world.handled), tasks)
    assert len(ids(world.handled)) == 20
    assert await waiting(world) == 0


async def test_what_the_bus_gives_twice_is_handled_once() -> None:
    world = World()
    world.bus.duplicate(every=2)
    await published(world, 10)
    async with running(world.consumer(keep=False).run()):
        await until(lambda: len(set(ids(world.handled))) == 20)
        await settled(world, "audit")
    assert len(world.bus.kept()) > 20
    assert len(world.handled) == 20


async def test_one_that_died_before_it_committed_has_its_events_recognised_by_the_next() -> None:
    world = World()
    await published(world, 5)
    dying = world.consumer()
    subscription = await world.bus.subscribe("audit")

    async def die(places: Any) -> None:
        raise StoreUnavailable("died")

    subscription.commit = die  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await dying.round(subscription)
    await subscription.close()
    handled = len(world.handled)
    assert handled == 10
    assert await waiting(world) == 10
    async with running(world.consumer().run()):
        await settled(world, "audit")
    assert len(world.handled) == handled


async def test_a_bad_event_is_dead_lettered_after_its_tries_and_the_task_s_later_ones_carry_on() -> None:
    world = World()
    tasks = await published(world, 3)
    bad, tried = f"{tasks[1]}:accepted", []

    async def handle(event: Event) -> None:
        if event.id == bad:
            tried.append(event.id)
            raise ValueError("no such ledger")
        world.handled.append(event)

    async with running(world.consumer(handle).run()):
        await until(lambda: len(world.handled) == 5)
        await settled(world, "audit")
    assert len(tried) == 3
    assert f"{tasks[1]}:finished" in ids(world.handled)
    (dead,) = await dead_letters(world.bus)
    assert (dead.event_id, dead.group, dead.tries, dead.topic) == (bad, "audit", 3, "events")
    assert dead.error == "ValueError: no such ledger"
    origin = next(one for one in world.bus.kept() if b"accepted" in one.value and tasks[1].encode() in one.value)
    assert (dead.partition, dead.offset) == (origin.place.partition, origin.place.offset)


async def test_a_replayed_event_is_handled_by_who_failed_and_known_by_who_did_not() -> None:
    world = World()
    tasks = await published(world, 2)
    bad, healed = f"{tasks[0]}:finished", False
    others: list[Event] = []

    async def handle(event: Event) -> None:
        if event.id == bad and not healed:
            raise ValueError("bad")
        world.handled.append(event)

    async def other(event: Event) -> None:
        others.append(event)

    async with running(world.consumer(handle).run(), world.consumer(other, group="metrics").run()):
        await until(lambda: len(world.handled) == 3 and len(others) == 4)
        await until(lambda: bool(world.bus.kept("events.dead")))
        healed = True
        assert await replay(world.bus) == 1
        await until(lambda: len(world.handled) == 4)
        await settled(world, "audit", "metrics")
    assert world.handled[-1].id == bad
    assert len(others) == 4
    assert await dead_letters(world.bus) == []
    assert await replay(world.bus) == 0


async def test_one_that_fails_again_after_its_replay_comes_back_and_says_so() -> None:
    world = World()
    await published(world, 1)

    async def handle(event: Event) -> None:
        raise ValueError("still bad")

    async with running(world.consumer(handle).run()):
        await until(lambda: len(world.bus.kept("events.dead")) == 2)
        assert await replay(world.bus) == 2
        await until(lambda: len(world.bus.kept("events.dead")) == 4)
    assert [one.replays for one in await dead_letters(world.bus)] == [1, 1]


async def test_what_is_no_event_is_dead_lettered_at_once_as_it_came() -> None:
    world = World()
    await world.bus.publish([Message("events", "k", b"\xff{not json", {"who": "knows"})])
    async with running(world.consumer().run()):
        await until(lambda: bool(world.bus.kept("events.dead")))
    (dead,) = await dead_letters(world.bus)
    assert (dead.event_id, dead.tries) == (None, 0)
    assert world.bus.kept("events.dead")[0].value == b"\xff{not json"
    assert world.bus.kept("events.dead")[0].headers["who"] == "knows"


async def test_an_outage_dead_letters_nothing_and_loses_nothing() -> None:
    world = World()
    tasks = await published(world, 5)
    away = True

    async def handle(event: Event) -> None:
        if away:
            raise StoreUnavailable("the ledger is away")
        world.handled.append(event)

    async with running(world.consumer(handle).run()):
        await asyncio.sleep(0.1)  # some outages' worth
        assert await waiting(world) == 10
        away = False
        await until(lambda: len(world.handled) == 10)
    assert in_order(ids(world.handled), tasks)
    assert await dead_letters(world.bus) == []


async def test_the_bus_may_go_away_and_come_back() -> None:
    world = World()
    await published(world, 3)
    world.bus.go_away()
    async with running(world.consumer().run()):
        await asyncio.sleep(0.02)
        world.bus.come_back()
        await until(lambda: len(world.handled) == 6)


async def test_members_share_a_group_s_work_and_a_leaver_s_is_taken_over() -> None:
    world = World()
    await published(world, 10)
    mine: list[Event] = []

    async def handle(event: Event) -> None:
        mine.append(event)
        await asyncio.sleep(0.001)

    async with running(world.consumer(handle).run()):
        async with running(world.consumer().run()):
            await until(lambda: len(world.handled) > 0 and len(mine) > 0)
        await until(lambda: len({*ids(mine), *ids(world.handled)}) == 20)
        await settled(world, "audit")


async def test_a_consumer_that_is_ended_commits_what_it_was_done_with() -> None:
    world = World()
    await published(world, 5)
    stuck = asyncio.Event()

    async def handle(event: Event) -> None:
        if len(world.handled) == 4:
            stuck.set()
            await asyncio.sleep(3600)
        world.handled.append(event)

    async with running(world.consumer(handle).run()):
        await stuck.wait()
    assert await waiting(world) == 6


async def test_a_message_is_keyed_by_the_task_and_names_its_form() -> None:
    world = World()
    await published(world, 1)
    received = world.bus.kept()[0]
    assert {one.key for one in world.bus.kept()} == {received.key}
    assert received.headers["content-type"].startswith("application/cloudevents+json")
    assert b'"specversion":"1.0"' in received.value
