"""A publisher that is killed after Kafka has its third batch, and before it could note that.

python -m tests.integration.events.dying_publisher SETTINGS DSN
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.events import Message
from ossa.events.log_bus import LogBus
from ossa.events.publisher import Publisher, PublisherMetrics
from ossa.stores.kafka import KafkaBus
from ossa.stores.postgres import PostgresStores

BATCHES = 3


class Deadly(KafkaBus):
    batches = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages)
        self.batches += 1
        if self.batches == BATCHES:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(settings: EventSettings, dsn: str) -> None:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    metrics = PublisherMetrics(CollectorRegistry())
    await Publisher(LogBus(stores.facts, owner="dying"), Deadly(settings), metrics=metrics).run_forever()


if __name__ == "__main__":
    asyncio.run(main(EventSettings.model_validate_json(sys.argv[1]), sys.argv[2]))
