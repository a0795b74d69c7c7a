"""What `ossa.contracts.events.EventBus` promises: the one in memory, the fact log, librdkafka's mock and a Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import pytest

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.errors import TopicUnfit
from ossa.contracts.events import EventBus, Message, Received, Subscription
from ossa.contracts.stores import Stores
from ossa.events.log_bus import LogBus
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores
from ossa.testing.bus import MemoryBus
from ossa.testing.stores import MemoryStores
from scripts.services import Services
from tests.contract.conftest import empty

pytestmark = pytest.mark.asyncio

KINDS = ("memory", "log-memory", "log-postgresql", "mock", "kafka")
_numbers = count(time.time_ns())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    services = Services(tmp_path_factory.mktemp("kafka"))
    missing = services.missing("kafka")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OSSA_KAFKA_JVM_OPTIONS", "-XX:TieredStopAtLevel=1")
        try:
            yield services.start("kafka", members=1).dsn
        finally:
            services.erase()


@asynccontextmanager
async def _stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "log-memory":
        yield MemoryStores()
        return
    dsn = request.getfixturevalue("embedded").start()
    empty(dsn)
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    yield stores
    await stores.close()


@pytest.fixture(params=KINDS)
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    """With topics of its own."""
    number = next(_numbers)
    made: dict[str, Any] = {"topic": f"events-{number}", "dead_topic": f"dead-{number}", "partitions": 4}
    opened: EventBus
    if request.param == "memory":
        opened = MemoryBus()
    elif request.param.startswith("log-"):
        async with AsyncExitStack() as stack:
            opened = LogBus((await stack.enter_async_context(_stores(request))).facts, owner="here")
            await opened.prepare()
            yield opened
            await opened.close()
        return
    elif request.param == "mock":
        opened = KafkaBus(EventSettings(mock=True, **made))
    else:
        servers = request.getfixturevalue("kafka")
        opened = KafkaBus(
            EventSettings(bootstrap_servers=servers, replication=1, min_insync=1, create_topics=True, **made)
        )
    await opened.prepare()
    yield opened
    await opened.close()


async def take(subscription: Subscription, number: int) -> list[Received]:
    end = time.monotonic() + 30
    found: list[Received] = []
    while len(found) < number:
        assert time.monotonic() < end, f"only {len(found)} of {number} came"
        found += await subscription.take(limit=100, wait_s=0.5)
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 30
    while not await condition():
        assert time.monotonic() < end, "it did not come true within 30 s"
        await asyncio.sleep(0.05)


async def publish(bus: EventBus, keys: int, each: int) -> None:
    topic = bus.status.topic
    await bus.publish(
        [Message(topic, f"k{key}", b"%d" % number, {"n": str(number)}) for number in range(each) for key in range(keys)]
    )


async def waiting(bus: EventBus, group: str) -> int:
    return sum(one.waiting for one in await bus.lag(group))


async def test_what_was_published_comes_whole_and_a_key_s_messages_in_order(bus: EventBus) -> None:
    await publish(bus, keys=7, each=5)
    subscription = await bus.subscribe("g")
    found = await take(subscription, 35)
    for key in range(7):
        mine = [one for one in found if one.key == f"k{key}"]
        assert [one.value for one in mine] == [b"%d" % number for number in range(5)]
        assert len({one.place.partition for one in mine}) == 1
    assert {one.headers["n"] for one in found} == {"0", "1", "2", "3", "4"}
    assert all(subscription.holds(one.place) for one in found)
    await subscription.close()


async def test_a_group_goes_on_after_what_it_committed_and_others_are_not_touched(bus: EventBus) -> None:
    await publish(bus, keys=1, each=6)
    first = await bus.subscribe("g")
    found = await take(first, 6)
    await first.commit([one.place for one in found[:4]])
    await first.close()
    assert await waiting(bus, "g") == 2
    assert await waiting(bus, "other") == 6
    second = await bus.subscribe("g")
    assert [one.value for one in await take(second, 2)] == [b"4", b"5"]
    await second.close()


async def test_what_is_not_committed_comes_again(bus: EventBus) -> None:
    await publish(bus, keys=3, each=1)
    first = await bus.subscribe("g")
    assert len(await take(first, 3)) == 3
    await first.close()
    second = await bus.subscribe("g")
    assert len(await take(second, 3)) == 3
    await second.close()


async def test_a_commit_is_seen_while_its_member_goes_on(bus: EventBus) -> None:
    await publish(bus, keys=2, each=2)
    subscription = await bus.subscribe("g")
    await subscription.commit([one.place for one in await take(subscription, 4)])

    async def committed() -> bool:
        await subscription.take(limit=1, wait_s=0.01)
        return await waiting(bus, "g") == 0

    await until(committed)
    await subscription.close()


async def test_a_reader_needs_no_group_and_begins_where_it_is_told(bus: EventBus) -> None:
    await publish(bus, keys=2, each=2)
    topic = bus.status.topic
    oldest = await bus.read(topic)
    assert len(await take(oldest, 4)) == 4
    await oldest.close()
    newest = await bus.read(topic, newest=True)
    assert await newest.take(limit=10, wait_s=0.1) == []
    await bus.publish([Message(topic, "k", b"later")])
    assert [one.value for one in await take(newest, 1)] == [b"later"]
    await newest.close()
    reader = await bus.read(topic, group="r")
    await reader.commit([one.place for one in await take(reader, 5)])
    await reader.close()
    assert await waiting(bus, "r") == 0


async def test_messages_that_are_odd_come_as_they_are(bus: EventBus) -> None:
    odd = Message(bus.status.topic, "日本\0", b"\xff\0" * 50_000, {"name": "日本"})
    await bus.publish([odd])
    await bus.publish([])
    subscription = await bus.subscribe("g")
    (found,) = await take(subscription, 1)
    assert (found.key, found.value, found.headers) == (odd.key, odd.value, odd.headers)
    await subscription.close()


async def test_the_bus_says_what_it_is(bus: EventBus) -> None:
    status = bus.status
    assert status.topic in ("events", status.topic)
    assert (status.kind == "mock") == bool(status.remarks)
    if status.kind == "mock":
        assert "mock" in status.remarks[0]
        assert status.address


async def test_a_topic_that_is_not_as_the_settings_say_is_named_with_what_to_do(kafka: str) -> None:
    number = next(_numbers)
    known: dict[str, Any] = {"bootstrap_servers": kafka, "topic": f"t-{number}", "dead_topic": f"d-{number}"}
    single: dict[str, Any] = {**known, "replication": 1, "min_insync": 1}

    async def refused(settings: EventSettings) -> str:
        bus = KafkaBus(settings)
        with pytest.raises(TopicUnfit) as caught:
            await bus.prepare()
        await bus.close()
        return caught.value.message

    missing = await refused(EventSettings(**single))
    assert "OSSA_EVENTS__CREATE_TOPICS=true" in missing
    assert f"--create --topic t-{number} --partitions 50 --replication-factor 1" in missing
    assert "OSSA_EVENTS__REPLICATION" in await refused(EventSettings(**known, create_topics=True))
    bus = KafkaBus(EventSettings(**single, partitions=3, create_topics=True))
    await bus.prepare()
    await bus.prepare()
    await bus.close()
    fewer = await refused(EventSettings(**single))
    assert "has 3 partitions, and OSSA_EVENTS__PARTITIONS says 50" in fewer
    assert f"--alter --topic t-{number} --partitions 50" in fewer
    assert "OSSA_EVENTS__REPLICATION says 2" in await refused(
        EventSettings(**{**single, "replication": 2}, partitions=3)
    )


async def test_a_consumer_of_a_topic_that_is_not_there_is_told(kafka: str) -> None:
    bus = KafkaBus(EventSettings(bootstrap_servers=kafka, topic=f"none-{next(_numbers)}"))
    with pytest.raises(TopicUnfit, match="OSSA_EVENTS__TOPIC"):
        await bus.subscribe("g")
    await bus.close()
