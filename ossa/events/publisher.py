"""From the fact log to Kafka: take what is next, publish it, note how far it came. Again and again.

What was published and not noted (a crash, a lost answer) is published again under the same ids. Order holds all the
same: everybody who publishes begins with the first fact that is not noted and goes on in order, so however the work of
two is mixed, an event comes for the first time only after those before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ossa.contracts.errors import OssaError
from ossa.contracts.events import Event, EventBus, FactLog, Message, OutboxStatus, Received
from ossa.events.dead_letters import FOR_GROUP
from ossa.events.log_bus import LogBus, LogSubscription
from ossa.events.messages import EVENT_HEADERS
from ossa.observability import AtMost, MetricGroup, counter, gauge, histogram
from ossa.resilience.backoff import Backoff

CONSUMER_GROUPS = AtMost(100, "consumer groups")
LAG_BUCKETS_S = (0.005, 0.01, 0.02, 0.045, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)


class PublisherMetrics(MetricGroup):
    """Gauges are the same from every replica: take their greatest."""

    rows = gauge("ossa_events_outbox_rows", "Facts that wait for Kafka")
    oldest = gauge("ossa_events_outbox_oldest_seconds", "Age of the oldest of them")
    leading = gauge("ossa_events_publisher_leading", "1 where this replica publishes")
    published = counter("ossa_events_published_total", "Events that the bus keeps")
    failures = counter(
        "ossa_events_publish_failures_total", "Rounds that failed, by error code", code=AtMost(50, "error codes")
    )
    seconds = histogram(
        "ossa_events_publish_seconds",
        "From the write of a batch's first event until the bus keeps it",
        buckets=LAG_BUCKETS_S,
    )
    lag = gauge("ossa_events_group_lag", "Messages that a group has not committed", group=CONSUMER_GROUPS)


class LogMetrics(MetricGroup):
    """Metrics of the fact log. They are the same from every replica: take their greatest."""

    waiting = gauge("ossa_facts_waiting", "Facts that a group has not dealt with", group=CONSUMER_GROUPS)


class ConsumerMetrics(MetricGroup):
    """Metrics of one process that consumes."""

    handled = counter("ossa_events_handled_total", "Events a handler was done with", group=CONSUMER_GROUPS)
    duplicates = counter("ossa_events_duplicates_total", "Events that came again", group=CONSUMER_GROUPS)
    tried_again = counter("ossa_events_tried_again_total", "Handlers' failures", group=CONSUMER_GROUPS)
    dead = counter("ossa_events_dead_letters_total", "Events given to the dead letters", group=CONSUMER_GROUPS)
    lag = histogram(
        "ossa_events_consumer_lag_seconds",
        "From an event's time until a handler was done with it",
        buckets=LAG_BUCKETS_S,
        group=CONSUMER_GROUPS,
    )


logger = logging.getLogger(__name__)

GROUP = "kafka"
"""The group of the fact log that takes facts to Kafka."""


@dataclass(frozen=True)
class Pace:
    """How fast and how patient. Times in seconds."""

    facts: int = 1000
    wait_s: float = 1.0
    pause_first_s: float = 0.1
    pause_longest_s: float = 5.0


class Publisher:
    """One of all replicas' publishes at a time; the others wait to take over.

    Args:
        log: the fact log as a bus; the replicas share its group `kafka`.
    """

    def __init__(
        self,
        log: LogBus,
        bus: EventBus,
        *,
        metrics: PublisherMetrics,
        pace: Pace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._bus = bus
        self._metrics = metrics
        self._pace = pace or Pace()
        self._now = now
        self._backoff = Backoff(self._pace.pause_first_s, self._pace.pause_longest_s, jitter=0.5)
        self.leading = False
        self.trouble = ""
        self.published = 0

    async def run_forever(self) -> None:
        """Lead when nobody does, and publish. What goes wrong is told in `trouble`, and tried again."""
        while True:
            try:
                await self._lead()
            except OssaError as error:
                self._failed(error.code, error.message)
            except Exception as error:
                logger.exception("events_publisher_failed")
                self._failed("internal", f"{type(error).__name__}: see the log")
            await self._backoff.pause()

    async def _lead(self) -> None:
        """Until something fails. Whoever cannot publish lets another one try."""
        await self._bus.prepare()
        subscription = await self._log.subscribe(GROUP)
        try:
            while True:
                await self.publish(subscription)
        finally:
            self._lead_changed(False)
            await subscription.close()

    async def publish(self, subscription: LogSubscription) -> int:
        """One round; how many facts. Raises `StoreUnavailable`: some may be on the bus and not noted."""
        received = await subscription.take(limit=self._pace.facts, wait_s=self._pace.wait_s)
        self._lead_changed(subscription.leads)
        if not received:
            if not self.leading:
                self.trouble = ""
            return 0
        topic = self._bus.status.topic
        exported = [message for message in received if message.headers.get(FOR_GROUP, GROUP) == GROUP]
        await self._bus.publish([_exported(message, topic) for message in exported])
        await subscription.commit([message.place for message in received])
        self._done(received)
        return len(received)

    def _done(self, received: Sequence[Received]) -> None:
        self.published += len(received)
        self.trouble = ""
        self._backoff.reset()
        self._metrics.published.inc(len(received))
        first = received[0].event
        if first is not None:
            self._metrics.seconds.observe(max(0.0, (self._now() - first.time).total_seconds()))

    def _lead_changed(self, leading: bool) -> None:
        if leading != self.leading:
            logger.info("events_publisher", extra={"leading": leading, "bus": self._bus.status.address})
        self.leading = leading
        self._metrics.leading.set(leading)

    def _failed(self, code: str, message: str) -> None:
        if message != self.trouble:
            logger.warning("events_not_published", extra={"code": code, "reason": message})
        self.trouble = message
        self._metrics.failures.labels(code).inc()


def _exported(received: Received, topic: str) -> Message:
    """A fact as a message of `topic`. Messages with one key keep their order."""
    headers = received.headers if received.event is None else EVENT_HEADERS
    return Message(topic, received.key, received.value, headers)


async def export_status(log: FactLog, *, now: datetime) -> OutboxStatus:
    """What waits for Kafka. Raises `StoreUnavailable`."""
    offset = min((position.offset for position in await log.positions() if position.group == GROUP), default=0)
    rows = await log.count(offset)
    if not rows:
        return OutboxStatus()
    page = await log.read(offset, limit=1)
    events = [item.content for item in page.items if isinstance(item.content, Event)]
    oldest_s = (now - events[0].time).total_seconds() if events else 0.0
    return OutboxStatus(rows=rows, oldest_s=max(0.0, oldest_s))


async def measure(
    log: FactLog, bus: EventBus, metrics: PublisherMetrics, *, groups: tuple[str, ...], every_s: float = 5.0
) -> None:
    """For ever: how much waits for Kafka, and how far each group of Kafka is behind."""
    while True:
        try:
            status = await export_status(log, now=datetime.now(UTC))
            metrics.rows.set(status.rows)
            metrics.oldest.set(status.oldest_s)
            for group in groups:
                metrics.lag.labels(group).set(sum(partition.waiting for partition in await bus.lag(group)))
        except OssaError as error:
            metrics.failures.labels(error.code).inc()
        await asyncio.sleep(every_s)
