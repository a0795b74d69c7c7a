"""A consumer that is killed after its effects, and before it could commit.

python -m tests.integration.events.dying_consumer SETTINGS DSN FILE
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import Event
from ossa.events.consumer import DuplicateFilter, EventConsumer
from ossa.events.publisher import ConsumerMetrics
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores

EVENTS = 10


async def main(settings: EventSettings, dsn: str, effects: Path) -> None:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    bus = KafkaBus(settings)
    done = 0

    async def handle(event: Event) -> None:
        nonlocal done
        done += 1
        with effects.open("a") as file:
            file.write(f"{event.id}\n")

    class Dying(DuplicateFilter):
        async def add(self, keys: object) -> None:
            await super().add(keys)  # type: ignore[arg-type]
            if done == EVENTS:
                os.kill(os.getpid(), signal.SIGKILL)

    consumer = EventConsumer(
        bus, "audit", handle, metrics=ConsumerMetrics(CollectorRegistry()),
        duplicates=Dying("audit", processed=stores.processed),
    )  # fmt: skip
    subscription = await bus.subscribe("audit")
    commit = subscription.commit

    async def late(places: object) -> None:
        """Of an earlier batch: not before the last one is handled."""
        if done == EVENTS:
            await commit(places)  # type: ignore[arg-type]

    subscription.commit = late  # type: ignore[method-assign, assignment]
    while True:
        await consumer.round(subscription)


if __name__ == "__main__":
    asyncio.run(main(EventSettings.model_validate_json(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
