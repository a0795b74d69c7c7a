"""Processes of `benchmarks.facts_chaos`, which are killed at any time. Each writes down what was acknowledged to it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.errors import BusUnavailable, StoreUnavailable
from ossa.contracts.events import BusStatus, Event, EventBus, Fact, Message, PartitionLag, Subscription
from ossa.contracts.facts import Act
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus
from ossa.events.consumer import DuplicateFilter, EventConsumer, Patience
from ossa.events.log_bus import LogBus
from ossa.events.publisher import ConsumerMetrics, Pace, Publisher, PublisherMetrics
from ossa.stores.postgres import PostgresStores
from ossa.stores.postgres.connection import Reader, Server

LEASE_S = 2.0
GROUPS = {"audit": 1, "costs": 4}
"""Consumer groups and their numbers of shares."""

PATIENCE_S = 60.0
_PAUSE_S = 0.05
_DATABASE = Database(statement_timeout_s=30, pool_max=4)


class Counted(Act):
    """A counter was raised, for this benchmark alone"""

    number: int = 0


Counted.TYPE = "ossa.chaos.counted.v1"

SCHEMA = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.writes (key text, number integer, PRIMARY KEY (key, number));
CREATE TABLE chaos.effects (came bigserial, who text, id text, PRIMARY KEY (who, id));
CREATE TABLE chaos.published (came bigserial PRIMARY KEY, id text NOT NULL);
"""

_RAISE = """
WITH raised AS (
    INSERT INTO chaos.writes (key, number) VALUES (%(key)s, %(number)s) ON CONFLICT DO NOTHING RETURNING key
)
SELECT ossa.tell('chaos', raised.key, 1, %(happenings)s) FROM raised
"""
_EFFECT = "INSERT INTO chaos.effects (who, id) VALUES (%(who)s, %(id)s) ON CONFLICT (who, id) DO NOTHING"
_PUBLISH = """
INSERT INTO chaos.published (id)
SELECT i.id FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS i (id, n) ORDER BY n
"""


class TableBus:
    """A bus that keeps what is published in a table, for want of Kafka. Nobody subscribes to it."""

    status = BusStatus(kind="memory", address="", topic="events", dead_topic="events.dead")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def prepare(self) -> None:
        """The table is there."""

    async def publish(self, messages: Sequence[Message]) -> None:
        ids = [orjson.loads(message.value)["id"] for message in messages]
        await self._reader.execute(_PUBLISH, {"ids": ids})

    async def subscribe(self, group: str) -> Subscription:
        raise BusUnavailable("A table has no groups.")

    async def read(self, topic: str, *, group: str | None = None, newest: bool = False) -> Subscription:
        raise BusUnavailable("A table is read by SQL.")

    async def lag(self, group: str, *, topic: str | None = None) -> list[PartitionLag]:
        return []

    async def close(self) -> None:
        """The connections belong to the process."""


def run(role: str, dsn: str, folder: str, kafka: dict[str, Any] | None) -> None:
    """The body of a process: a writer, a publisher, or a consumer of the group that the role names."""
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    if role.startswith("writer"):
        asyncio.run(_write(dsn, Path(folder) / role, stop))
    elif role.startswith("publisher"):
        asyncio.run(_publish(dsn, kafka))
    else:
        asyncio.run(_consume(dsn, role.partition("-")[0]))


class _Stop:
    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: Any) -> None:
        self.asked = True


class _Book:
    """Ids of facts whose writes were acknowledged; what was written to a file outlives the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, *ids: str) -> None:
        os.write(self._file, "".join(f"{id}\n" for id in ids).encode())


async def _write(dsn: str, book: Path, stop: _Stop) -> None:
    """A life of a writer has keys of its own: what a dead one was about is not told again by the next."""
    stores = PostgresStores(_DATABASE, dsn)
    reader = Reader(Server(dsn, _DATABASE), 1)
    await _patiently(stores.open)
    acknowledged, life = _Book(book), f"{book.name}-{secrets.token_hex(4)}"
    number = 0
    while not stop.asked:
        number += 1
        await asyncio.gather(
            _patiently(partial(_task, stores, acknowledged)),
            _patiently(partial(_raise, reader, f"written/{life}", number, acknowledged)),
            _patiently(partial(_tell, stores, f"told/{life}", number, acknowledged)),
        )
        await asyncio.sleep(_PAUSE_S)


async def _task(stores: PostgresStores, acknowledged: _Book) -> None:
    """Four facts: a task whose life is cut short by an outage is left, and another one begun."""
    id = f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
    request = TaskRequest(messages=[{"role": "user", "content": "x"}])
    steps = [Step(seq=seq, kind="model", agent_id="a-1", payload={}, at=datetime.now(UTC)) for seq in range(2)]
    await stores.journal.accept(NewTask(id=id, tenant="chaos", request=request), owner="chaos")
    acknowledged.note(f"{id}:accepted")
    await stores.journal.append(id, fence=1, steps=steps[:1])
    acknowledged.note(f"{id}:0")
    await stores.journal.finish(id, fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED), steps=steps[1:])
    acknowledged.note(f"{id}:1", f"{id}:finished")


async def _raise(reader: Reader, key: str, number: int, acknowledged: _Book) -> None:
    """A write and its fact in one transaction, which may be done twice."""
    happenings = orjson.dumps([[str(number), Counted.TYPE, None, {"number": number}]]).decode()
    await reader.execute(_RAISE, {"key": key, "number": number, "happenings": happenings})
    acknowledged.note(f"{key}:{number}")


async def _tell(stores: PostgresStores, key: str, number: int, acknowledged: _Book) -> None:
    await stores.facts.tell([Fact(Counted(number=number), key=key, tenant="chaos", name=str(number))])
    acknowledged.note(f"{key}:{number}")


async def _publish(dsn: str, kafka: dict[str, Any] | None) -> None:
    stores = PostgresStores(_DATABASE, dsn)
    await _patiently(stores.open)
    bus: EventBus
    if kafka is None:
        bus = TableBus(Reader(Server(dsn, _DATABASE), 1))
    else:
        from ossa.stores.kafka import KafkaBus

        bus = KafkaBus(EventSettings(**kafka))
    log = LogBus(stores.facts, owner="publisher", lease_s=LEASE_S)
    metrics = PublisherMetrics(CollectorRegistry())
    await Publisher(log, bus, metrics=metrics, pace=Pace(pause_longest_s=0.5)).run_forever()


async def _consume(dsn: str, group: str) -> None:
    stores = PostgresStores(_DATABASE, dsn)
    reader = Reader(Server(dsn, _DATABASE), 1)
    await _patiently(stores.open)
    log = LogBus(stores.facts, owner=group, lease_s=LEASE_S)

    async def handle(event: Event) -> None:
        await reader.execute(_EFFECT, {"who": group, "id": event.id})

    async def subscribe() -> Subscription:
        return await log.subscribe(group, shards=GROUPS[group])

    await EventConsumer(
        log,
        group,
        handle,
        metrics=ConsumerMetrics(CollectorRegistry()),
        duplicates=DuplicateFilter(group, recent=1000),
        patience=Patience(pause_first_s=0.05, pause_longest_s=0.5),
        subscribe=subscribe,
    ).run()


async def _patiently(act: Callable[[], Awaitable[None]]) -> None:
    """Outages are part of the game."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            await act()
            return
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.1)
