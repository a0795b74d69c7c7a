"""From the journal through a real Kafka to a consumer, while what is between them dies."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ossa.contracts.events import Event, Fact
from ossa.contracts.facts import Act
from ossa.events.dead_letters import dead_letters, replay

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[3]


class Noted(Act):
    """Something was noted, for these tests alone"""

    number: int = 0


Noted.TYPE = "ossa.test.noted.v1"


def firsts_in_order(found: list[Event], tasks: list[str]) -> bool:
    """Each task's two events are there, and came for the first time in their order."""
    ids = list(dict.fromkeys(event.id for event in found))
    return all(
        [one for one in ids if one.startswith(task)] == [f"{task}:accepted", f"{task}:finished"] for task in tasks
    )


async def test_events_come_through_each_once_in_their_tasks_order(line: Any, running: Any, until: Any) -> None:
    handled: list[Event] = []

    async def handle(event: Event) -> None:
        handled.append(event)

    async def settled() -> bool:
        return len(handled) >= 80 and await line.lag() == 0

    async with running(line.publisher().run_forever(), line.consumer(handle).run()):
        tasks = await asyncio.gather(*(line.do_task() for _ in range(40)))
        await until(settled)
    assert len(handled) == 80
    assert firsts_in_order(handled, tasks)
    assert await line.waiting() == 0


async def test_nothing_is_lost_when_a_broker_is_killed_and_later_all_of_them(
    line: Any, running: Any, until: Any
) -> None:
    """Tasks go on all the time: their facts wait in the log."""
    publisher = line.publisher()
    tasks: list[str] = []
    enough = asyncio.Event()

    async def work() -> None:
        while not enough.is_set():
            tasks.append(await line.do_task())

    async def drained() -> bool:
        return bool(await line.waiting() == 0)

    async def lose(*members: str) -> None:
        for member in members:
            await asyncio.to_thread(line.services.kill, "kafka", member)
        before = len(tasks)
        await until(lambda: _true(len(tasks) >= before + 50))

    async with running(publisher.run_forever()):
        writers = [asyncio.create_task(work()) for _ in range(4)]
        await until(lambda: _true(len(tasks) >= 50))
        await lose("kafka-2")
        enough.set()
        await asyncio.gather(*writers)
        await until(drained)  # two of three brokers are enough
        enough.clear()
        writers = [asyncio.create_task(work()) for _ in range(4)]
        await lose("kafka-1", "kafka-3")
        enough.set()
        await asyncio.gather(*writers)
        await until(lambda: _true(bool(publisher.trouble)))
        assert await line.waiting() >= 100
        await asyncio.to_thread(line.services.start, "kafka")
        await until(drained)
    found = await line.published()
    assert {event.id for event in found} == {f"{task}:{end}" for task in tasks for end in ("accepted", "finished")}
    assert firsts_in_order(found, tasks)


async def test_a_consumer_killed_between_effect_and_commit_leaves_duplicates_that_are_recognised(
    line: Any, postgres: str, running: Any, until: Any, tmp_path: Path
) -> None:
    async def drained() -> bool:
        return bool(await line.waiting() == 0)

    async with running(line.publisher().run_forever()):
        for _ in range(5):
            await line.do_task()
        await until(drained)
    effects = tmp_path / "effects"
    settings = line.settings.model_dump_json(exclude={"sasl_password"})
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.events.dying_consumer", settings, postgres, str(effects), cwd=ROOT
    )
    assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL
    assert len(effects.read_text().splitlines()) == 10
    assert await line.lag() == 10
    again: list[Event] = []

    async def handle(event: Event) -> None:
        again.append(event)

    async def settled() -> bool:
        return bool(await line.lag() == 0)

    consumer = line.consumer(handle)
    async with running(consumer.run()):
        await until(settled)
    assert again == []


async def test_a_poison_event_goes_to_the_dead_letters_and_its_replay_is_handled(
    line: Any, running: Any, until: Any
) -> None:
    handled: list[str] = []
    healed = False
    tasks = [await line.do_task() for _ in range(3)]
    poison = f"{tasks[1]}:accepted"

    async def handle(event: Event) -> None:
        if event.id == poison and not healed:
            raise ValueError("poison")
        handled.append(event.id)

    async def settled() -> bool:
        return bool(await line.waiting() == 0 and await line.lag() == 0)

    async with running(line.publisher().run_forever(), line.consumer(handle).run()):
        await until(lambda: _true(len(handled) == 5))
        await until(settled)
        (dead,) = await dead_letters(line.bus)
        assert (dead.event_id, dead.error, dead.tries, dead.group) == (poison, "ValueError: poison", 2, "audit")
        healed = True
        assert await replay(line.bus) == 1
        await until(lambda: _true(len(handled) == 6))
        assert await dead_letters(line.bus) == []
    assert handled[-1] == poison
    assert sorted(handled) == sorted(f"{task}:{end}" for task in tasks for end in ("accepted", "finished"))


async def _true(found: bool) -> bool:
    return found


async def test_kafka_that_is_switched_on_later_gets_all_that_is_retained_in_order(
    line: Any, running: Any, until: Any
) -> None:
    """The group `kafka` is not known before: it begins with the oldest fact."""
    tasks = [await line.do_task() for _ in range(20)]
    await line.stores.facts.tell([Fact(Noted(number=7), key="test/kafka", name=line.settings.topic)])

    async def drained() -> bool:
        return bool(await line.waiting() == 0)

    async with running(line.publisher().run_forever()):
        await until(drained)
    found = await line.published()
    assert firsts_in_order(found, tasks)
    assert f"test/kafka:{line.settings.topic}" in {event.id for event in found}


async def test_a_publisher_that_is_killed_is_followed_by_the_other_where_it_had_come_to(
    line: Any, postgres: str, running: Any, until: Any
) -> None:
    tasks: list[str] = []
    settings = line.settings.model_dump_json(exclude={"sasl_password"})
    module = "tests.integration.events.dying_publisher"
    dying = await asyncio.create_subprocess_exec(sys.executable, "-m", module, settings, postgres, cwd=ROOT)

    async def leads() -> bool:
        return any(position.group == "kafka" and position.owner for position in await line.stores.facts.positions())

    async def drained() -> bool:
        return bool(await line.waiting() == 0)

    await until(leads)
    other = line.publisher()
    async with running(other.run_forever()):
        while dying.returncode is None:  # it dies with facts published and not noted
            tasks.append(await line.do_task())
        assert dying.returncode == -signal.SIGKILL
        tasks += [await line.do_task() for _ in range(5)]
        await until(drained)
    assert other.published < 2 * len(tasks)
    found = await line.published()
    assert len(found) > 2 * len(tasks)
    assert firsts_in_order(found, tasks)


async def test_the_position_of_the_export_outlives_its_process(line: Any, running: Any, until: Any) -> None:
    async def drained() -> bool:
        return bool(await line.waiting() == 0)

    for _ in range(2):
        publisher = line.publisher()
        before = len(await line.published())
        await line.do_task()
        async with running(publisher.run_forever()):
            await until(drained)
        assert publisher.published == len(await line.published()) - before == 2
