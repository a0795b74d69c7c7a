"""librdkafka's built-in broker, inside this process. It is a mock, and always called one."""

from __future__ import annotations

import logging
import time

from confluent_kafka import Producer

from ossa.contracts.errors import BusUnavailable
from ossa.stores.kafka.failure import translated

logger = logging.getLogger(__name__)

REMARKS = (
    "a mock: its records end with the process, and old ones vanish before",
    "one copy of each, in 4 partitions, whatever the settings say; topics are not checked",
)

_START_S = 10.0


class MockBroker:
    """Lives until `close`, or with this process. Other processes may use its address. Blocking."""

    def __init__(self) -> None:
        with translated():
            self._owner: Producer | None = Producer({"test.mock.num.brokers": 1, "log_level": 3})
            self.address = self._find(self._owner)
        logger.warning("kafka_mock_started", extra={"address": self.address, "keeps": "nothing"})

    def close(self) -> None:
        self._owner = None

    @staticmethod
    def _find(owner: Producer) -> str:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for broker in owner.list_topics(timeout=_START_S).brokers.values():
                return f"{broker.host}:{broker.port}"
        raise BusUnavailable("The mock broker did not start.")
