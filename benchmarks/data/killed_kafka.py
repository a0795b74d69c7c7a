"""The journal's events go through the outbox to a consumer, while brokers are killed: one by one, or all for long."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import TASK_ACCEPTED, Event
from ossa.contracts.stores import Journal
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus
from ossa.events.consumer import EventConsumer
from ossa.events.log_bus import LogBus
from ossa.events.publisher import ConsumerMetrics, Publisher, PublisherMetrics, export_status
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores
from scripts.services import Services

SETTLE_S = 5.0
STUCK_S = 90.0
EVENTS_A_TASK = 2
LEASE_S = 6 * 3600.0


@dataclass
class Stream:
    """Tasks at a steady rate, and what the consumer has seen of their events."""

    stores: PostgresStores
    per_s: float
    seen: dict[str, list[str]] = field(default_factory=dict)
    at: list[float] = field(default_factory=list)
    written: int = 0
    twice: int = 0
    out_of_order: int = 0
    over: bool = False

    @property
    def handled(self) -> int:
        return sum(map(len, self.seen.values()))

    async def handle(self, event: Event) -> None:
        self.at.append(time.perf_counter())
        come = self.seen.setdefault(event.subject, [])
        if event.id in come:
            self.twice += 1
            return
        self.out_of_order += (event.type == TASK_ACCEPTED) != (not come)
        come.append(event.id)

    async def write(self) -> None:
        journal: Journal = self.stores.journal
        request = TaskRequest(messages=[{"role": "user", "content": "x"}])
        began, number = time.perf_counter(), 0
        while not self.over:
            await asyncio.sleep(max(0.0, began + number * EVENTS_A_TASK / self.per_s - time.perf_counter()))
            task_id = f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
            await journal.accept(NewTask(id=task_id, tenant="t", request=request), owner="bench")
            await journal.finish(task_id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))
            number += 1
            self.written += EVENTS_A_TASK

    async def drained(self) -> None:
        """All that was written has come, or nothing more does for `STUCK_S`."""
        handled, since = -1, time.monotonic()
        while self.handled < self.written and time.monotonic() < since + STUCK_S:
            if self.handled != handled:
                handled, since = self.handled, time.monotonic()
            await asyncio.sleep(0.2)

    def figures(self) -> dict[str, Any]:
        return {
            **{"events": self.written, "handled": self.handled, "lost": self.written - self.handled},
            **{"twice": self.twice, "out_of_order": self.out_of_order},
        }


@asynccontextmanager
async def streaming(dsn: str, brokers: Services, per_s: float) -> AsyncIterator[Stream]:
    """Events flow. Afterwards writing ends, what is on its way comes, and all is closed."""
    settings = EventSettings(bootstrap_servers=brokers.address("kafka").dsn, create_topics=True)
    stores = PostgresStores(Database(), dsn, events=settings)
    await stores.open()
    await stores.journal.renew("bench", ttl_s=LEASE_S)
    bus = KafkaBus(settings)
    await bus.prepare()
    stream = Stream(stores, per_s)
    publisher = Publisher(LogBus(stores.facts, owner="bench"), bus, metrics=PublisherMetrics(CollectorRegistry()))
    consumer = EventConsumer(bus, "bench", stream.handle, metrics=ConsumerMetrics(CollectorRegistry()))
    loops = [asyncio.create_task(work) for work in (publisher.run_forever(), consumer.run())]
    writing = asyncio.create_task(stream.write())
    try:
        await asyncio.sleep(SETTLE_S * 2)
        yield stream
        stream.over = True
        await writing
        await stream.drained()
    finally:
        for one in (writing, *loops):
            one.cancel()
        await asyncio.gather(writing, *loops, return_exceptions=True)
        await bus.close()
        await stores.close()


async def kill_brokers(dsn: str, brokers: Services, *, per_s: float) -> dict[str, Any]:
    gaps = []
    async with streaming(dsn, brokers, per_s) as stream:
        for member in [member.name for member in brokers.status("kafka").members]:
            killed_at = time.perf_counter()
            await asyncio.to_thread(brokers.kill, "kafka", member)
            await asyncio.sleep(SETTLE_S * 3)
            times = [killed_at, *(one for one in stream.at if one >= killed_at), time.perf_counter()]
            gaps.append(max(later - earlier for earlier, later in pairwise(times)))
            await asyncio.to_thread(brokers.start_member, "kafka", member)
            await asyncio.sleep(SETTLE_S)
    return {
        **{"brokers": len(gaps), **stream.figures()},
        "seconds_without_an_event": [round(gap, 2) for gap in gaps],
    }


async def kafka_away(dsn: str, brokers: Services, *, per_s: float, away_s: float) -> dict[str, Any]:
    """All brokers are killed, and started again after `away_s`. Tasks go on meanwhile."""
    async with streaming(dsn, brokers, per_s) as stream:
        for member in [member.name for member in brokers.status("kafka").members]:
            await asyncio.to_thread(brokers.kill, "kafka", member)
        before, written = stream.handled, stream.written
        await asyncio.sleep(away_s)
        waited = (await export_status(stream.stores.facts, now=datetime.now(UTC))).rows
        meanwhile = stream.written - written
        came = stream.handled - before
        await asyncio.to_thread(brokers.start, "kafka")
        back_at = time.perf_counter()
        owed = stream.written
        while stream.handled < owed and time.perf_counter() < back_at + away_s + STUCK_S:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        caught_up_s = time.perf_counter() - back_at if stream.handled >= owed else None
    return {
        **{"away_s": away_s, "written_meanwhile": meanwhile, "came_meanwhile": came, "waited_in_outbox": waited},
        "caught_up_s": round(caught_up_s, 2) if caught_up_s is not None else None,
        **stream.figures(),
    }
