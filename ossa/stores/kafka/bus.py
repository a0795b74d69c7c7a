"""The event bus over Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from ossa.contracts.configuration import EventSettings
from ossa.contracts.errors import BusUnavailable, TopicUnfit
from ossa.contracts.events import BusStatus, Message, PartitionLag
from ossa.stores.kafka.administration import ensure_topics, why
from ossa.stores.kafka.configuration import REMARKS, MockBroker, common, consuming, producing
from ossa.stores.kafka.failure import is_telling, ours, quieten_drivers, translated
from ossa.stores.kafka.producer import KafkaProducer
from ossa.stores.kafka.subscription import KafkaSubscription

_ANSWER_S = 10.0
_READER = "ossa.read"


class KafkaBus:
    """`ossa.contracts.events.EventBus`, for one event loop. Connects when it is first needed.

    Without servers and with `settings.mock` a mock broker of this process is used; `status` says so.
    """

    def __init__(self, settings: EventSettings) -> None:
        quieten_drivers()
        self._settings = settings
        self._mock: MockBroker | None = None
        self._producer: KafkaProducer | None = None
        self._beginning = asyncio.Lock()

    def __repr__(self) -> str:
        return f"KafkaBus({self.status.kind} at {self.status.address or 'no address yet'})"

    @property
    def status(self) -> BusStatus:
        settings = self._settings
        mocked = self._mock.address if self._mock is not None else ""
        return BusStatus(
            kind="mock" if settings.mock else "kafka",
            address=settings.bootstrap_servers or mocked,
            topic=settings.topic,
            dead_topic=settings.dead_topic,
            remarks=REMARKS if settings.mock else (),
        )

    async def prepare(self) -> None:
        servers = await self._servers()
        if not self._settings.mock:
            await self._look()
            await asyncio.to_thread(ensure_topics, self._settings, common(self._settings, servers), servers)

    async def publish(self, messages: Sequence[Message]) -> None:
        servers = await self._servers()
        if self._producer is None:
            self._producer = KafkaProducer(
                producing(self._settings, servers), timeout_s=self._settings.publish_timeout_s
            )
        await self._producer.publish(messages)

    async def subscribe(self, group: str) -> KafkaSubscription:
        """Raises `TopicUnfit` where there is no topic: a group would wait for it without a word."""
        servers = await self._servers()
        await self._look()
        subscription = KafkaSubscription(consuming(self._settings, servers, group))
        try:
            await asyncio.to_thread(self._partitions, subscription.consumer, self._settings.topic)
            await subscription.join(self._settings.topic)
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def read(self, topic: str, *, group: str | None = None, newest: bool = False) -> KafkaSubscription:
        servers = await self._servers()
        await self._look()
        subscription = KafkaSubscription(consuming(self._settings, servers, group or _READER))
        try:
            lags = await asyncio.to_thread(self._partition_lags, subscription.consumer, topic, group is not None)
            positions = {lag.partition: lag.end if newest else lag.committed for lag in lags}
            await subscription.begin(topic, positions)
        except BaseException:
            await subscription.close()
            raise
        return subscription

    async def lag(self, group: str, *, topic: str | None = None) -> list[PartitionLag]:
        servers = await self._servers()
        return await asyncio.to_thread(self._lag, servers, group, topic or self._settings.topic)

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()
        mock, self._mock = self._mock, None
        if mock is not None:
            await asyncio.to_thread(mock.close)

    async def _servers(self) -> str:
        if not self._settings.mock:
            return self._settings.bootstrap_servers
        async with self._beginning:
            if self._mock is None:
                self._mock = await asyncio.to_thread(MockBroker)
            return self._mock.address

    async def _look(self) -> None:
        """Raises what keeps Kafka from being reached, where it is known. A first question would wait for long."""
        if self._settings.mock:
            return
        error = await asyncio.to_thread(why, common(self._settings, self._settings.bootstrap_servers))
        if error is not None:
            raise error

    # In a thread

    def _lag(self, servers: str, group: str, topic: str) -> list[PartitionLag]:
        with translated():
            consumer = Consumer(consuming(self._settings, servers, group))
            try:
                return self._partition_lags(consumer, topic, True)
            finally:
                consumer.close()

    def _partition_lags(self, consumer: Consumer, topic: str, committed: bool) -> list[PartitionLag]:
        """Returns the lags of a group; without `committed`, counted from the beginning."""
        partitions = [TopicPartition(topic, number) for number in self._partitions(consumer, topic)]
        with translated():
            known = {
                partition.partition: partition.offset
                for partition in (consumer.committed(partitions, _ANSWER_S) if committed else ())
            }
            lags = []
            for partition in partitions:
                ends = consumer.get_watermark_offsets(partition, timeout=_ANSWER_S)
                if ends is None:
                    raise BusUnavailable("Kafka did not tell the ends of a partition in time.", retry_after_s=1.0)
                first, end = ends
                at = max(known.get(partition.partition, 0), first)
                lags.append(
                    PartitionLag(
                        topic=topic, partition=partition.partition, committed=at, end=end, waiting=max(0, end - at)
                    )
                )
        return lags

    def _partitions(self, consumer: Consumer, topic: str) -> list[int]:
        """Raises `TopicUnfit` for a topic that there is not."""
        with translated():
            metadata = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
        if metadata.error is not None and is_telling(metadata.error):
            raise ours(metadata.error)
        if not metadata.partitions:
            raise TopicUnfit(
                f"Kafka has no topic {topic}: OSSA_EVENTS__TOPIC and OSSA_EVENTS__DEAD_TOPIC name the topics, and the "
                "gateway makes them with OSSA_EVENTS__CREATE_TOPICS=true.",
                param="events.topic",
            )
        return sorted(metadata.partitions)
