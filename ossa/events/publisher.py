"""From the outbox to the bus: take what is there, publish it, remove it. Again and again.

What was published and not removed (a crash, a lost answer) is published again under the same ids. Order holds all the
same: everybody who publishes begins with a task's first entry that is left and goes on in order, so however the work of
two is mixed, an event comes for the first time only after those before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ossa.contracts.errors import BusUnavailable, InvalidRequest, OssaError, TopicUnfit
from ossa.contracts.events import EventBus, EventOutbox, OutboxEntry, OutboxLead
from ossa.events.messages import message_of
from ossa.observability import AtMost, MetricGroup, counter, gauge, histogram
from ossa.resilience.backoff import Backoff

CONSUMER_GROUPS = AtMost(100, "consumer groups")
LAG_BUCKETS_S = (0.005, 0.01, 0.02, 0.045, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)


class PublisherMetrics(MetricGroup):
    """Gauges are the same from every replica: take their greatest."""

    rows = gauge("ossa_events_outbox_rows", "Entries that wait to be published")
    oldest = gauge("ossa_events_outbox_oldest_seconds", "Age of the oldest of them")
    leading = gauge("ossa_events_publisher_leading", "1 where this replica publishes")
    published = counter("ossa_events_published_total", "Events that the bus keeps")
    failures = counter(
        "ossa_events_publish_failures_total", "Rounds that failed, by error code", code=AtMost(50, "error codes")
    )
    given_up = counter("ossa_events_given_up_total", "Entries too old to be published")
    seconds = histogram(
        "ossa_events_publish_seconds",
        "From the write of a batch's first event until the bus keeps it",
        buckets=LAG_BUCKETS_S,
    )
    lag = gauge("ossa_events_group_lag", "Messages that a group has not committed", group=CONSUMER_GROUPS)


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


@dataclass(frozen=True)
class Pace:
    """How fast and how patient. Times in seconds.

    A write of this process wakes the publisher; for others' it looks again after `look_first_s`, then less often, up to
    `look_longest_s`.
    """

    entries: int = 1000
    look_first_s: float = 0.005
    look_longest_s: float = 0.05
    lead_again_s: float = 1.0
    pause_first_s: float = 0.1
    pause_longest_s: float = 5.0
    prune_every_s: float = 60.0


class Publisher:
    """One of all replicas' publishes at a time; the others wait to take over.

    Args:
        keep_s: an entry that could not be published for so long is given up, counted and logged.
    """

    def __init__(
        self,
        outbox: EventOutbox,
        bus: EventBus,
        *,
        metrics: PublisherMetrics,
        keep_s: float = 7 * 86_400,
        pace: Pace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._bus = bus
        self._metrics = metrics
        self._keep_s = keep_s
        self._pace = pace or Pace()
        self._now = now
        self._backoff = Backoff(self._pace.pause_first_s, self._pace.pause_longest_s, jitter=0.5)
        self._prune_at = 0.0
        self.leading = False
        self.trouble = ""
        self.published = 0

    async def run_forever(self) -> None:
        """For ever: lead when nobody does, and publish. What goes wrong is told in `trouble`, and tried again."""
        while True:
            try:
                lead = await self._outbox.lead()
                if lead is None:
                    self.trouble = ""
                    await asyncio.sleep(self._pace.lead_again_s)
                    continue
                await self._lead(lead)
            except OssaError as error:
                self._failed(error.code, error.message)
            except Exception as error:
                logger.exception("events_publisher_failed")
                self._failed("internal", f"{type(error).__name__}: see the log")
            await self._backoff.pause()

    async def _lead(self, lead: OutboxLead) -> None:
        """Until something fails. Whoever cannot publish lets another one try."""
        try:
            await self._bus.prepare()
            self._lead_changed(True)
            look_s = self._pace.look_first_s
            while True:
                if await self.publish(lead):
                    look_s = self._pace.look_first_s
                    continue
                await self._outbox.written(within_s=look_s)
                look_s = min(look_s * 1.5, self._pace.look_longest_s)
        except (BusUnavailable, TopicUnfit, InvalidRequest):  # the last: a setting of the bus
            await self._prune(lead)
            raise
        finally:
            self._lead_changed(False)
            await lead.close()

    async def publish(self, lead: OutboxLead) -> int:
        """One round; how many entries. Raises `StoreUnavailable`: some may be on the bus and still in the outbox."""
        entries = await lead.read(self._pace.entries)
        if not entries:
            return 0
        topic = self._bus.status.topic
        messages = [message_of(event, topic) for entry in entries for event in entry.events]
        await self._bus.publish(messages)
        await lead.remove(entries)
        self._done(entries, len(messages))
        return len(entries)

    def _done(self, entries: list[OutboxEntry], events: int) -> None:
        self.published += events
        self.trouble = ""
        self._backoff.reset()
        self._metrics.published.inc(events)
        first = next((entry.events[0] for entry in entries if entry.events), None)
        if first is not None:
            self._metrics.seconds.observe(max(0.0, (self._now() - first.time).total_seconds()))

    async def _prune(self, lead: OutboxLead) -> None:
        """Only while they cannot be published: a disc is finite, and an old event is of less use than the journal."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + self._pace.prune_every_s
        given_up = await lead.prune(before=self._now() - timedelta(seconds=self._keep_s))
        if given_up:
            self._metrics.given_up.inc(given_up)
            logger.error("events_given_up", extra={"entries": given_up, "older_than_s": self._keep_s})

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


async def measure(
    outbox: EventOutbox, bus: EventBus, metrics: PublisherMetrics, *, groups: tuple[str, ...], every_s: float = 5.0
) -> None:
    """For ever: how much waits in the outbox, and how far each group is behind."""
    while True:
        try:
            status = await outbox.status()
            metrics.rows.set(status.rows)
            metrics.oldest.set(status.oldest_s)
            for group in groups:
                metrics.lag.labels(group).set(sum(one.waiting for one in await bus.lag(group)))
        except OssaError as error:
            metrics.failures.labels(error.code).inc()
        await asyncio.sleep(every_s)
