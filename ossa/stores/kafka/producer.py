"""Batches of messages onto Kafka: all of one are kept, or the caller hears that they may not be.

aiokafka's producer, not librdkafka's: it puts all partitions of a broker into one request. A broker answers one request
of a connection after the other, so a batch for 50 partitions, each in a request of its own, would wait that many times.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ossa.contracts.errors import BusUnavailable
from ossa.contracts.events import Message
from ossa.stores.kafka.failure import of_producer

AT_ONCE = 20_000
"""Messages handed to the driver together."""

_CLOSE_S = 5.0


class KafkaProducer:
    """An idempotent producer. After a failure it is thrown away with all that it still held back: it must not send that
    when a new one has gone further.
    """

    def __init__(self, configuration: Mapping[str, Any], *, timeout_s: float) -> None:
        self._configuration = configuration
        self._timeout_s = timeout_s
        self._client: AIOKafkaProducer | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        """Raises `BusUnavailable`, `TopicUnfit`. One call at a time: the publisher is alone."""
        for first in range(0, len(messages), AT_ONCE):
            await self._publish(messages[first : first + AT_ONCE])

    async def close(self) -> None:
        """Closes the driver. Messages that were not sent never will be."""
        client, self._client = self._client, None
        if client is None:
            return
        sender = client._sender.sender_task  # without its task `stop` has nothing to wait for, and sends nothing more
        if sender is not None:
            sender.cancel()
        with contextlib.suppress(TimeoutError, KafkaError, asyncio.CancelledError):
            async with asyncio.timeout(_CLOSE_S):
                await client.stop()

    async def _publish(self, messages: Sequence[Message]) -> None:
        delivered: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._started()
                for message in messages:
                    headers = [(name, text.encode()) for name, text in message.headers.items()]
                    key = message.key.encode()
                    delivered.append(await client.send(message.topic, message.value, key=key, headers=headers))
                await asyncio.gather(*delivered)
        except BaseException as error:
            for delivery in delivered:
                delivery.cancel()
            await asyncio.shield(self.close())
            if isinstance(error, TimeoutError):
                said = f"Kafka did not take {len(messages)} messages within {self._timeout_s:g} s."
                raise BusUnavailable(said, retry_after_s=1.0) from None
            if isinstance(error, KafkaError | OSError):
                raise of_producer(error) from None
            raise

    async def _started(self) -> AIOKafkaProducer:
        if self._client is None:
            self._client = AIOKafkaProducer(**self._configuration)
            await self._client.start()
        return self._client
