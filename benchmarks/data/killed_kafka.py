"""One broker after the other is killed while the journal's events go through the outbox to a consumer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import TASK_ACCEPTED, Event
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus
from ossa.events.consumer import EventConsumer
from ossa.events.metrics import ConsumerMetrics, PublisherMetrics
from ossa.events.publisher import Publisher
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores
from scripts.services import Services

SETTLE_S = 5.0
DRAIN_S = 90.0
EVENTS_A_TASK = 2


async def kill_brokers(dsn: str, brokers: Services, *, per_s: float) -> dict[str, Any]:
    settings = EventSettings(bootstrap_servers=brokers.address("kafka").dsn, create_topics=True)
    stores = PostgresStores(Database(), dsn, events=settings)
    await stores.open()
    await stores.journal.renew("bench", ttl_s=3600)
    bus = KafkaBus(settings)
    await bus.prepare()
    seen: dict[str, list[str]] = {}
    at: list[float] = []
    twice = out_of_order = written = 0
    over = False

    async def handle(event: Event) -> None:
        nonlocal twice, out_of_order
        at.append(time.perf_counter())
        come = seen.setdefault(event.subject, [])
        if event.id in come:
            twice += 1
            return
        out_of_order += (event.type == TASK_ACCEPTED) != (not come)
        come.append(event.id)

    async def write() -> None:
        nonlocal written
        request = TaskRequest(messages=[{"role": "user", "content": "x"}])
        began, number = time.perf_counter(), 0
        while not over:
            await asyncio.sleep(max(0.0, began + number * EVENTS_A_TASK / per_s - time.perf_counter()))
            task_id = f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
            await stores.journal.accept(NewTask(id=task_id, tenant="t", request=request), owner="bench")
            await stores.journal.finish(task_id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))
            number += 1
            written += EVENTS_A_TASK

    publisher = Publisher(stores.outbox, bus, metrics=PublisherMetrics(CollectorRegistry()))
    consumer = EventConsumer(bus, "bench", handle, metrics=ConsumerMetrics(CollectorRegistry()))
    loops = [asyncio.create_task(work) for work in (publisher.keep(), consumer.run())]
    writers = [asyncio.create_task(write())]
    gaps = []
    await asyncio.sleep(SETTLE_S * 2)
    for member in [member.name for member in brokers.status("kafka").members]:
        killed_at = time.perf_counter()
        await asyncio.to_thread(brokers.kill, "kafka", member)
        await asyncio.sleep(SETTLE_S * 3)
        times = [killed_at, *(one for one in at if one >= killed_at), time.perf_counter()]
        gaps.append(max(later - earlier for earlier, later in pairwise(times)))
        await asyncio.to_thread(brokers.start_member, "kafka", member)
        await asyncio.sleep(SETTLE_S)
    over = True
    await asyncio.gather(*writers)
    deadline = time.monotonic() + DRAIN_S
    while sum(map(len, seen.values())) < written and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    for loop in loops:
        loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*loops)
    await bus.close()
    await stores.close()
    handled = sum(map(len, seen.values()))
    return {
        **{"brokers": len(gaps), "events": written, "handled": handled, "lost": written - handled},
        **{"twice": twice, "out_of_order": out_of_order},
        "seconds_without_an_event": [round(gap, 2) for gap in gaps],
    }
