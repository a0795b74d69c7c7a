"""Messages from Kafka. The driver blocks, so each subscription has a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ossa.contracts.errors import BusUnavailable
from ossa.contracts.events import Place, Received
from ossa.stores.kafka.configuration import Configuration
from ossa.stores.kafka.failure import ours, translated

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CLOSE_S = 15.0

COMMIT_EVERY_S = 0.1
"""Rounds are short under load, and each commit is written by as many brokers as an event: they are gathered."""


class KafkaSubscription:
    """`ossa.contracts.events.Subscription`. A commit is on its way when `commit` returns, or within `COMMIT_EVERY_S`
    where another one went before; the last is waited for when a partition is given away, and at the end.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._held: set[tuple[str, int]] = set()
        self._done: dict[tuple[str, int], int] = {}
        self._commit_at = 0.0
        with translated():
            self.consumer = Consumer({**configuration, "on_commit": _committed})
        self._closed = False

    # Ways to begin

    async def join(self, topic: str) -> None:
        """Share its partitions with the group's other members."""
        await self._call(
            lambda: self.consumer.subscribe(
                [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        )

    async def begin(self, topic: str, positions: Mapping[int, int]) -> None:
        """Read all of `positions`, in no group."""

        def assign() -> None:
            self.consumer.assign([TopicPartition(topic, number, offset) for number, offset in positions.items()])
            self._held = {(topic, number) for number in positions}

        await self._call(assign)

    # The contract

    async def take(self, *, limit: int, wait_s: float) -> list[Received]:
        return await self._call(lambda: self._take(limit, wait_s))

    def holds(self, place: Place) -> bool:
        return (place.topic, place.partition) in self._held

    async def commit(self, places: Sequence[Place]) -> None:
        for place in places:
            if self.holds(place):
                key = (place.topic, place.partition)
                self._done[key] = max(self._done.get(key, 0), place.offset + 1)
        await self._call(self._commit_when_due)

    async def prolong(self) -> None:
        """The client does so by itself."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True

        def close() -> None:
            self._commit_quietly(set(self._done))
            self.consumer.close()

        try:
            async with asyncio.timeout(_CLOSE_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, close)
        except (TimeoutError, KafkaException, RuntimeError) as error:
            logger.warning("kafka_consumer_not_closed", extra={"reason": type(error).__name__})
        finally:
            self._thread.shutdown(wait=False)

    # In the thread

    def _take(self, limit: int, wait_s: float) -> list[Received]:
        """Returns waiting messages at once; `consume` alone would wait until there are `limit`."""
        if self._done:
            wait_s = min(wait_s, max(0.0, self._commit_at - time.monotonic()))
        first = self.consumer.poll(wait_s)
        self._commit_when_due()
        if first is None:
            return []
        messages = [first]
        if limit > 1:
            messages += self.consumer.consume(limit - 1, 0)
        received = [_received(message) for message in messages if message.error() is None]
        failed = next((message.error() for message in messages if message.error() is not None), None)
        if failed is not None and not received:
            raise ours(failed)
        return received

    def _commit(self, keys: set[tuple[str, int]], *, wait: bool) -> None:
        offsets = [TopicPartition(*key, self._done.pop(key)) for key in keys if key in self._done]
        if offsets and wait:
            self.consumer.commit(offsets=offsets, asynchronous=False)
        elif offsets:
            self.consumer.commit(offsets=offsets, asynchronous=True)

    def _commit_when_due(self) -> None:
        if self._done and (now := time.monotonic()) >= self._commit_at:
            self._commit_at = now + COMMIT_EVERY_S
            self._commit(set(self._done), wait=False)

    def _commit_quietly(self, keys: set[tuple[str, int]]) -> None:
        """Commits, and only logs a failure: the next owner of the partition recognises events that it meets again."""
        try:
            self._commit(keys, wait=True)
        except KafkaException as error:
            logger.warning("kafka_commit_failed", extra={"reason": str(error)})

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._held |= {(partition.topic, partition.partition) for partition in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(partition.topic, partition.partition) for partition in partitions}
        self._commit_quietly(gone)
        self._held -= gone

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(partition.topic, partition.partition) for partition in partitions}
        for key in gone:
            self._done.pop(key, None)
        self._held -= gone

    async def _call(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise BusUnavailable("This subscription is closed.")
        with translated():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _received(message: KafkaMessage) -> Received:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    key, value = message.key(), message.value()
    return Received(
        Place(topic, partition, offset),
        _text(key),
        value if isinstance(value, bytes) else _text(value).encode(),
        _headers(message),
    )


def _headers(message: KafkaMessage) -> dict[str, str]:
    headers = message.headers() or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {str(name): _text(text) for name, text in (tuple(pair) for pair in pairs)}


def _text(data: str | bytes | None) -> str:
    """Whatever somebody put there."""
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else data or ""


def _committed(error: KafkaError | None, partitions: list[TopicPartition]) -> None:
    if error is not None and error.code() != KafkaError._NO_OFFSET:
        logger.warning("kafka_commit_failed", extra={"reason": error.name()})
