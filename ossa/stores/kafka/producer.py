"""Batches of messages onto Kafka: all of one are kept, or the caller hears that they may not be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from zlib import crc32

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage

from ossa.contracts.errors import BusUnavailable, OssaError
from ossa.contracts.events import Message
from ossa.stores.kafka.configuration import Configuration
from ossa.stores.kafka.failure import ours, translated

AT_ONCE = 20_000
"""Messages handed to the driver together; its own queue takes 100,000."""

LANES = 4
"""Clients beside each other, a key always in the same one. librdkafka puts one partition into a request, and few are
on their way to a broker when it is idempotent: a batch for 50 partitions would wait for itself many times."""

_POLL_S = 0.1


class KafkaProducer:
    """Idempotent producers. After a failure they are thrown away with all that they still held back: they must not
    send that when new ones have gone further.
    """

    def __init__(self, configuration: Configuration, *, timeout_s: float) -> None:
        self._configuration = configuration
        self._timeout_s = timeout_s
        self._clients: list[_Client] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        """Raises `BusUnavailable`. One call at a time: the publisher is alone."""
        for first in range(0, len(messages), AT_ONCE):
            await self._publish(messages[first : first + AT_ONCE])

    async def close(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            client.purge()
        for client in clients:
            await asyncio.to_thread(client.discard)

    async def _publish(self, messages: Sequence[Message]) -> None:
        if not self._clients:
            with translated():
                self._clients = await asyncio.to_thread(lambda: [_Client(self._configuration) for _ in range(LANES)])
        clients = self._clients
        delivery = _Delivery(len(messages))
        try:
            with translated():
                for message in messages:
                    key = message.key.encode()
                    clients[crc32(key) % LANES].produce(message, key, delivery.told)
            async with asyncio.timeout(self._timeout_s):
                await delivery.done
        except TimeoutError:
            await self.close()
            said = next((f"; it said {client.said}" for client in clients if client.said), "")
            raise BusUnavailable(
                f"Kafka did not take {len(messages)} messages within {self._timeout_s:g} s{said}.", retry_after_s=1.0
            ) from None
        except (OssaError, BufferError) as error:
            await self.close()
            if isinstance(error, BufferError):
                raise BusUnavailable("The driver's queue is full.", retry_after_s=1.0) from None
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self.close())
            raise


class _Client:
    """The driver's producer, and the thread in which it tells what became of messages."""

    def __init__(self, configuration: Configuration) -> None:
        self.said = ""
        self._producer = Producer({**configuration, "error_cb": self._note})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def produce(self, message: Message, key: bytes, told: Callable[[KafkaError | None, KafkaMessage], None]) -> None:
        """Raises `BufferError` or `KafkaException`."""
        headers: dict[str, str | bytes | None] = dict(message.headers)
        self._producer.produce(message.topic, message.value, key, on_delivery=told, headers=headers)

    def purge(self) -> None:
        """What was not sent never will be."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    def discard(self) -> None:
        """Blocking, for a moment."""
        self.purge()
        self._ending.set()
        self._thread.join(5)

    def _poll(self) -> None:
        while not self._ending.is_set():
            self._producer.poll(_POLL_S)
        self._producer.poll(0)

    def _note(self, error: KafkaError) -> None:
        self.said = f"{error.name()}: {error.str()}"


class _Delivery:
    """Counts down, in the clients' threads; `done` is resolved on the loop."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._left = count
        self._failed = False
        self._counting = threading.Lock()

    def told(self, error: KafkaError | None, message: KafkaMessage) -> None:
        with self._counting:
            self._left -= 1
            if self._failed:
                return
            self._failed = error is not None
            over = self._failed or self._left == 0
        if over:
            self._resolve(None if error is None else ours(error))

    def _resolve(self, error: OssaError | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: OssaError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
