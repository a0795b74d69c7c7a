"""Three Kafka brokers, the embedded PostgreSQL, and what runs between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import Event, Received
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.events.consumer import DuplicateFilter, EventConsumer, Handle, Patience
from ossa.events.log_bus import LogBus
from ossa.events.messages import event_of
from ossa.events.publisher import ConsumerMetrics, Publisher, PublisherMetrics, export_status
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores
from scripts.services import Services
from tests.contract.conftest import empty

_numbers = count(time.time_ns())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("kafka"))
    missing = services.missing("kafka")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OSSA_KAFKA_JVM_OPTIONS", "-XX:TieredStopAtLevel=1")
        try:
            services.start("kafka", members=3)
            yield services
        finally:
            services.erase()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedPostgres(Path(tmp_path_factory.mktemp("events")) / "postgres")
    yield server.start()
    server.erase()


@dataclass
class Line:
    """From the journal to a topic of this test's own."""

    services: Services
    settings: EventSettings
    stores: PostgresStores
    bus: KafkaBus

    def publisher(self) -> Publisher:
        log = LogBus(self.stores.facts, owner=f"here-{next(_numbers)}")
        return Publisher(log, self.bus, metrics=PublisherMetrics(CollectorRegistry()))

    def consumer(self, handle: Handle, *, group: str = "audit") -> EventConsumer:
        return EventConsumer(
            self.bus,
            group,
            handle,
            metrics=ConsumerMetrics(CollectorRegistry()),
            duplicates=DuplicateFilter(group, processed=self.stores.processed),
            patience=Patience(tries=2, pause_first_s=0.01),
        )

    async def do_task(self) -> str:
        """Two events."""
        task_id = f"task_{next(_numbers):032x}"
        request = TaskRequest(messages=[{"role": "user", "content": "x"}])
        await self.stores.journal.accept(NewTask(id=task_id, tenant="t", request=request), owner="a")
        await self.stores.journal.finish(task_id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))
        return task_id

    async def waiting(self) -> int:
        return (await export_status(self.stores.facts, now=datetime.now(UTC))).rows

    async def lag(self, group: str = "audit") -> int:
        return sum(one.waiting for one in await self.bus.lag(group))

    async def published(self) -> list[Event]:
        """All that lies on the topic."""
        topic = self.bus.status.topic
        left = sum(one.end for one in await self.bus.lag("nobody"))
        subscription = await self.bus.read(topic)
        found: list[Received] = []
        try:
            async with asyncio.timeout(30):
                while len(found) < left:
                    found += await subscription.take(limit=500, wait_s=0.5)
        finally:
            await subscription.close()
        return [event_of(one) for one in found]


@pytest.fixture
async def line(kafka: Services, postgres: str) -> AsyncIterator[Line]:
    number = next(_numbers)
    settings = EventSettings(
        bootstrap_servers=kafka.address("kafka").dsn,
        topic=f"events-{number}",
        dead_topic=f"dead-{number}",
        partitions=6,
        create_topics=True,
        publish_timeout_s=6,
    )
    stores = PostgresStores(Database(), postgres, events=settings)
    await stores.open()
    empty(postgres)
    bus = KafkaBus(settings)
    await bus.prepare()
    yield Line(kafka, settings, stores, bus)
    await bus.close()
    await stores.close()


@asynccontextmanager
async def _running(*works: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def running() -> Callable[..., Any]:
    """Keeps loops going meanwhile."""
    return _running


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < end, "it did not come true within 60 s"
        await asyncio.sleep(0.05)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Waits for a condition."""
    return _until
