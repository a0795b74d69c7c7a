"""Processes of `benchmarks.data.events`: `python -m benchmarks.data.event_roles ROLE`.

Settings come as JSON on standard input. They print one JSON object when they end. Times are of one machine's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.data.waits import told
from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import TASK_ACCEPTED, TASK_FINISHED, Event
from ossa.contracts.task import NewTask, Outcome, Step, StepKind, TaskRequest, TaskStatus, Usage

GROUP = "bench"
EVENTS_A_TASK = 7
"""accepted, five steps in two writes, finished: a turn with one call of a tool."""

LEASE_S = 3600.0
TENANT = "acme"
BARE_BYTES = 420


async def writer(said: dict[str, Any]) -> dict[str, Any]:
    """Tasks at their times, as many as may be open; those that are late are counted by how late they began."""
    from ossa.stores.postgres import PostgresStores

    stores = PostgresStores(Database(pool_max=8), said["dsn"], events=EventSettings(**said["events"]))
    await stores.open()
    owner = f"bench-{secrets.token_hex(4)}"
    await stores.journal.renew(owner, ttl_s=LEASE_S)
    request = TaskRequest(messages=[{"role": "user", "content": "why does the pod restart? " * 8}])
    late: list[float] = []

    async def task() -> None:
        task_id = f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
        journal = stores.journal
        await journal.accept(NewTask(id=task_id, tenant=TENANT, request=request), owner=owner)
        await journal.append(task_id, fence=1, steps=[_step(0, "route"), _step(1, "model"), _step(2, "tool_call")])
        outcome = Outcome(status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "done"})
        await journal.finish(task_id, fence=1, outcome=outcome, steps=[_step(3, "tool_result"), _step(4, "model")])

    tasks = int(said["per_s"] * said["seconds"] / EVENTS_A_TASK)
    began = await _at_rate(task, tasks, said["per_s"] / EVENTS_A_TASK, late)
    written_s = time.perf_counter() - began
    await stores.close()
    return {
        "tasks": tasks,
        "events": tasks * EVENTS_A_TASK,
        "per_s": round(tasks * EVENTS_A_TASK / written_s, 1),
        "begun_late": told(late),
    }


async def publisher(said: dict[str, Any]) -> dict[str, Any]:
    from ossa.events.log_bus import LogBus
    from ossa.events.publisher import Publisher, PublisherMetrics, export_status
    from ossa.stores.kafka import KafkaBus
    from ossa.stores.postgres import PostgresStores

    settings = EventSettings(**said["events"])
    stores = PostgresStores(Database(pool_max=4), said["dsn"], events=settings)
    await stores.open()
    bus = KafkaBus(settings)
    made = Publisher(
        LogBus(stores.facts, owner=f"publisher-{os.getpid()}"), bus, metrics=PublisherMetrics(CollectorRegistry())
    )
    await _until_told(made.run_forever())
    status = await export_status(stores.facts, now=datetime.now(UTC))
    await bus.close()
    await stores.close()
    return {"published": made.published, "left": status.rows, "trouble": made.trouble}


async def consumer(said: dict[str, Any]) -> dict[str, Any]:
    """Handles until all that is expected was, or it is told to stop; says what was lost, twice, out of order."""
    from ossa.events.consumer import EventConsumer
    from ossa.events.publisher import ConsumerMetrics
    from ossa.stores.kafka import KafkaBus

    bus = KafkaBus(EventSettings(**said["events"]))
    lags: list[float] = []
    seen: set[str] = set()
    last: dict[str, int] = {}
    found = {"twice": 0, "out_of_order": 0}
    done = asyncio.Event()

    async def handle(event: Event) -> None:
        lags.append(time.time() - event.time.timestamp())
        if event.id in seen:
            found["twice"] += 1
            return
        seen.add(event.id)
        number = {TASK_ACCEPTED: -1, TASK_FINISHED: 1_000}.get(event.type)
        place = int(event.data["seq"]) if number is None else number
        if place <= last.get(event.subject, -2):
            found["out_of_order"] += 1
        last[event.subject] = place
        if len(seen) == said["expected"]:
            done.set()

    made = EventConsumer(bus, GROUP, handle, metrics=ConsumerMetrics(CollectorRegistry()))
    await _until_told(made.run(), done)
    await bus.close()
    skip = int(len(lags) * said["skip"])
    return {
        "handled": len(seen),
        "lost": said["expected"] - len(seen),
        **found,
        "lag": told(lags[skip:]),
    }


async def bare_writer(said: dict[str, Any]) -> dict[str, Any]:
    """The driver alone: as many messages a second, of an event's size."""
    from confluent_kafka import Producer

    producer = Producer(
        {
            **{"bootstrap.servers": said["events"]["bootstrap_servers"], "enable.idempotence": True, "acks": "all"},
            **{"linger.ms": 2, "compression.type": "lz4"},
        }
    )
    padding = b"x" * BARE_BYTES
    late: list[float] = []

    async def task() -> None:
        key = secrets.token_hex(8)
        for _ in range(EVENTS_A_TASK):
            producer.produce(said["bare_topic"], key=key, value=b"%.6f %b" % (time.time(), padding))
        producer.poll(0)

    tasks = int(said["per_s"] * said["seconds"] / EVENTS_A_TASK)
    began = await _at_rate(task, tasks, said["per_s"] / EVENTS_A_TASK, late)
    producer.flush(30)
    return {"events": tasks * EVENTS_A_TASK, "per_s": round(tasks * EVENTS_A_TASK / (time.perf_counter() - began), 1)}


async def bare_consumer(said: dict[str, Any]) -> dict[str, Any]:
    from confluent_kafka import Consumer

    consuming = Consumer(
        {
            **{"bootstrap.servers": said["events"]["bootstrap_servers"], "group.id": "bare"},
            **{"auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.wait.max.ms": 100},
        }
    )
    consuming.subscribe([said["bare_topic"]])
    lags: list[float] = []
    stop = asyncio.Event()
    _on_signal(stop)
    while not stop.is_set() and len(lags) < said["expected"]:
        taken = await asyncio.to_thread(consuming.consume, 500, 0.1)
        now = time.time()
        lags += [now - float((message.value() or b"0").split(b" ", 1)[0]) for message in taken if not message.error()]
    if lags:
        consuming.commit(asynchronous=False)  # what the warm-up left must not be read, and counted, again
    consuming.close()
    return {"handled": len(lags), "lag": told(lags[int(len(lags) * said["skip"]) :])}


def _step(seq: int, kind: StepKind) -> Step:
    return Step(
        **{"seq": seq, "kind": kind, "agent_id": "security-001", "at": datetime.now(UTC)},
        **{"payload": {"name": "search", "message": {"role": "assistant", "content": "looking"}}},
        usage=Usage(prompt_tokens=700, completion_tokens=90, cost_usd=0.001, model_calls=1),
    )


async def _at_rate(act: Callable[[], Coroutine[Any, Any, None]], count: int, per_s: float, late: list[float]) -> float:
    """Open loop: each begins when it is due, whatever the others do. Returns when the first began."""
    running: set[asyncio.Task[None]] = set()
    began = time.perf_counter()
    for number in range(count):
        due = began + number / per_s
        if (wait := due - time.perf_counter()) > 0.001:
            await asyncio.sleep(wait)
        elif number % 16 == 0:
            await asyncio.sleep(0)
        late.append(max(0.0, time.perf_counter() - due))
        one = asyncio.create_task(act())
        running.add(one)
        one.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return began


async def _until_told(work: Coroutine[Any, Any, None], done: asyncio.Event | None = None) -> None:
    stop = done or asyncio.Event()
    _on_signal(stop)
    task = asyncio.create_task(work)
    await stop.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _on_signal(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)


ROLES: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]] = {
    "writer": writer,
    "publisher": publisher,
    "consumer": consumer,
    "bare_writer": bare_writer,
    "bare_consumer": bare_consumer,
}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ROLES[sys.argv[1]](json.loads(sys.stdin.read())))))
