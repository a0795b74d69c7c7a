"""What the publisher promises, over a bus and a fact log in memory that misbehave when told to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ossa.contracts.errors import TopicUnfit
from ossa.events.publisher import GROUP, PublisherMetrics, measure
from tests.unit.events.world import World, firsts, in_order, until

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def running(*works: Any) -> Any:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_the_journal_wrote_comes_onto_the_bus_in_order() -> None:
    world = World()
    async with running(world.publisher().run_forever()):
        tasks = await world.do_tasks(20)
        await until(lambda: len(world.kept()) == 40)
        await until(lambda: not world.waiting())
    assert in_order(world.kept(), tasks)


async def test_while_the_bus_is_away_everything_waits_and_nothing_is_lost() -> None:
    world = World()
    publisher = world.publisher()
    world.bus.go_away()
    async with running(publisher.run_forever()):
        tasks = await world.do_tasks(20)
        await until(lambda: "away" in publisher.trouble)
        assert world.waiting() == 40
        assert not publisher.leading
        world.bus.come_back()
        await until(lambda: not world.waiting())
        await until(lambda: publisher.trouble == "")
    assert sorted(world.kept()) == sorted(f"{task}:{end}" for task in tasks for end in ("accepted", "finished"))


async def test_a_lost_answer_publishes_again_under_the_same_ids_and_in_order() -> None:
    world = World()
    world.bus.lose_answers(4)
    tasks = await world.do_tasks(10)
    async with running(world.publisher().run_forever()):
        await until(lambda: not world.waiting())
    assert len(world.kept()) > 20
    assert in_order(world.kept(), tasks)


async def test_while_the_store_is_away_it_waits_for_it() -> None:
    world = World()
    publisher = world.publisher()
    tasks = await world.do_tasks(5)
    world.stores.go_down()
    async with running(publisher.run_forever()):
        await until(lambda: publisher.trouble != "")
        world.stores.come_back()
        await until(lambda: not world.waiting())
    assert in_order(world.kept(), tasks)


async def test_one_publishes_and_another_takes_over() -> None:
    world = World()
    first, second = world.publisher(), world.publisher()
    async with running(second.run_forever()):
        async with running(first.run_forever()):
            await until(lambda: first.leading or second.leading)
            for _ in range(20):
                assert not (first.leading and second.leading)
                await world.do_tasks(1)
                await asyncio.sleep(0.001)
        tasks = await world.do_tasks(3)
        await until(lambda: second.leading)
        await until(lambda: not world.waiting())
    assert len(firsts(world.kept())) == 46
    assert in_order(world.kept(), tasks)


async def test_two_who_believe_to_lead_keep_each_task_s_order() -> None:
    """One whose lease ended does not know it yet. What it still puts on the bus comes twice, in order."""
    world = World()
    tasks = await world.do_tasks(12)
    slow = world.publisher()
    old = await world.log().subscribe(GROUP)
    world.bus.slow_down(0.02)
    still = asyncio.create_task(slow.publish(old))
    await asyncio.sleep(0.005)
    for position in await world.stores.facts.positions():
        await world.stores.facts.leave(GROUP, owner=position.owner)
    async with running(world.publisher().run_forever()):
        await until(lambda: not world.waiting())
    await asyncio.gather(still, return_exceptions=True)
    assert len(world.kept()) > 24
    assert in_order(world.kept(), tasks)


async def test_an_unfit_topic_is_told_and_nothing_is_removed() -> None:
    world = World()
    publisher = world.publisher()

    async def unfit() -> None:
        raise TopicUnfit("events has 4 partitions")

    prepare, world.bus.prepare = world.bus.prepare, unfit  # type: ignore[method-assign]
    await world.do_tasks(2)
    async with running(publisher.run_forever()):
        await until(lambda: "4 partitions" in publisher.trouble)
        assert world.waiting() == 4
        world.bus.prepare = prepare  # type: ignore[method-assign]
        await until(lambda: not world.waiting())


async def test_facts_from_before_it_was_switched_on_are_published_too() -> None:
    world = World()
    tasks = await world.do_tasks(7)
    async with running(world.publisher().run_forever()):
        await until(lambda: not world.waiting())
    assert in_order(world.kept(), tasks)


async def test_how_much_waits_and_how_far_groups_are_is_measured() -> None:
    world = World()
    registry = CollectorRegistry()
    await world.do_tasks(3)
    subscription = await world.log().subscribe(GROUP)
    await world.publisher().publish(subscription)  # three of six
    metrics = PublisherMetrics(registry)
    async with running(measure(world.stores.facts, world.bus, metrics, groups=("audit",), every_s=0.01)):
        await until(lambda: registry.get_sample_value("ossa_events_outbox_rows") == 3)
        await until(lambda: registry.get_sample_value("ossa_events_group_lag", {"group": "audit"}) == 3)
