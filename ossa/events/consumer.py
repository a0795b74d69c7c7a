"""A consumer group's member: take, handle, remember, commit. In this order nothing is lost, and some comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from ossa.contracts.errors import InvalidRequest, OssaError, StoreUnavailable
from ossa.contracts.events import Event, EventBus, Message, Place, ProcessedEvents, Received, Subscription
from ossa.events.dead_letters import FOR_GROUP, dead_letter_of
from ossa.events.messages import event_of
from ossa.events.publisher import ConsumerMetrics

RECENT = 100_000


class DuplicateFilter:
    """Remembers what one consumer was done with: the last ones here, and all of them where there is a store.

    Without a store a process that starts anew knows nothing: what its predecessor handled and did not commit is handled
    again. With one, that is left only of events whose handler was done when the process died, before they were added;
    a handler that must not do them twice keeps the event's id in the transaction of its own effect.

    Args:
        recent: ids kept in memory.
        processed: shared by all processes of the consumer.
    """

    def __init__(self, consumer: str, *, recent: int = RECENT, processed: ProcessedEvents | None = None) -> None:
        self._consumer = consumer
        self._most = recent
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._processed = processed

    async def known(self, events: Iterable[Event]) -> set[str]:
        """Keys (`key_of`) of those that were added. Raises `StoreUnavailable`."""
        keys = {key_of(event) for event in events}
        found = {key for key in keys if key in self._recent}
        rest = list(keys - found)
        if rest and self._processed is not None:
            found |= await self._processed.known(self._consumer, rest)
        return found

    async def add(self, keys: Sequence[str]) -> None:
        """They are dealt with. Raises `StoreUnavailable`."""
        if keys and self._processed is not None:
            await self._processed.add(self._consumer, keys)
        for key in keys:
            self._recent[key] = None
        while len(self._recent) > self._most:
            self._recent.popitem(last=False)

    def forget_recent(self) -> None:
        """Forget what is remembered here, so that it is handled again."""
        self._recent.clear()

    async def forget(self, *, older_than_s: float) -> int:
        """In the store; raises `StoreUnavailable`."""
        if self._processed is None:
            return 0
        return await self._processed.prune(before=datetime.now(UTC) - timedelta(seconds=older_than_s))


def key_of(event: Event) -> str:
    """CloudEvents: source and id together name an event."""
    return f"{event.source} {event.id}"


logger = logging.getLogger(__name__)

Handle = Callable[[Event], Awaitable[None]]
"""What is done about an event. It may be called twice for one.

Raising `StoreUnavailable` says that the world is at fault: the event is tried again until that is over. Any other
error is the event's fault: after some tries it goes to the dead letters, and the next one has its turn.
"""

TASK_TYPES = "ossa.task."


@dataclass(frozen=True)
class Consumer:
    """A group that reads the fact log.

    Attributes:
        handle: called for each fact, those with one key in their order.
        types: types of facts, or beginnings of types that end with a dot (`ossa.agent.`); empty: all.
        shards: in how many shares keys are divided: so many replicas can read at a time. 1: one leads.
        newest: the group starts after the newest fact when it is run for the first time, not with the oldest.
    """

    handle: Handle
    types: tuple[str, ...] = ()
    shards: int = 1
    newest: bool = False

    @property
    def wants_tasks(self) -> bool:
        """Whether any fact of a task may be among its types."""
        return may_be_of_tasks(self.types)


def may_be_of_tasks(types: Sequence[str]) -> bool:
    """Whether any fact of a task may be among `types`."""
    return not types or any(
        name.startswith(TASK_TYPES) or (name.endswith(".") and TASK_TYPES.startswith(name)) for name in types
    )


def matches(kind: str, types: Sequence[str]) -> bool:
    """Whether a type of fact is among `types`, as those of a `Consumer`."""
    return not types or any(kind == name or (name.endswith(".") and kind.startswith(name)) for name in types)


_SETTLE_S = 10.0
_FORGET_EVERY_S = 3600.0


@dataclass(frozen=True)
class Patience:
    """Times in seconds. After `outage_s` of an outage the member leaves its group until it is over; a batch that takes
    longer than `settle_s` is committed in parts.
    """

    tries: int = 5
    pause_first_s: float = 0.1
    pause_longest_s: float = 5.0
    outage_s: float = 30.0
    take: int = 500
    wait_s: float = 1.0
    settle_s: float = 1.0
    prolong_s: float = 1.0


@dataclass
class _Batch:
    """What was dealt with of the messages that came together."""

    places: list[Place] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)


class EventConsumer:
    """Calls `handle` for each event of a group's share, those with one key in their order.

    An offset is committed after the handler is done and its event's id is remembered. A dead-lettered event holds
    nobody up: later events of its task are handled, so a handler that needs the one before must find out by itself.

    Args:
        group: its members share the work; it names the consumer in the duplicate filter too.
        duplicates: None remembers the last ones in this process alone.
        forget_s: what the filter's store holds longer is forgotten, now and then.
        subscribe: joins the group; by default as the bus does it.
    """

    def __init__(
        self,
        bus: EventBus,
        group: str,
        handle: Handle | Consumer,
        *,
        metrics: ConsumerMetrics,
        duplicates: DuplicateFilter | None = None,
        patience: Patience | None = None,
        forget_s: float = 7 * 86_400,
        subscribe: Callable[[], Awaitable[Subscription]] | None = None,
    ) -> None:
        self._bus = bus
        self._group = group
        consumer = handle if isinstance(handle, Consumer) else Consumer(handle)
        self._handle, self._types = consumer.handle, consumer.types
        self._metrics = metrics
        self._duplicates = duplicates or DuplicateFilter(group)
        self._patience = patience or Patience()
        self._forget_s = forget_s
        self._subscribe = subscribe or partial(bus.subscribe, group)
        self._forget_at = 0.0
        self._pause_s = self._patience.pause_first_s

    async def run(self) -> None:
        """For ever, whatever goes away and comes back. What was handled before it is cancelled is committed."""
        while True:
            try:
                subscription = await self._subscribe()
                try:
                    while True:
                        await self.round(subscription)
                finally:
                    await subscription.close()
            except StoreUnavailable as error:
                logger.warning("events_consumer_waits", extra={"group": self._group, "reason": error.message})
            except Exception:
                logger.exception("events_consumer_failed", extra={"group": self._group})
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, self._patience.pause_longest_s)

    async def round(self, subscription: Subscription) -> int:
        """Deal with what has come; how many messages. Raises `StoreUnavailable`."""
        received = await subscription.take(limit=self._patience.take, wait_s=self._patience.wait_s)
        dealt_with = 0
        if received:
            read = [(one, _read(one)) for one in received]
            known = await self._duplicates.known(event for _, event in read if isinstance(event, Event))
            async with _staying(subscription, self._patience.prolong_s):
                dealt_with = await self._deal_with_all(subscription, read, known)
            self._pause_s = self._patience.pause_first_s
        await self._forget()
        return dealt_with

    async def _deal_with_all(
        self, subscription: Subscription, read: list[tuple[Received, Event | InvalidRequest]], known: set[str]
    ) -> int:
        """What is done is committed now and then: a share that moves, or a death, repeats little of a long batch."""
        batch, dealt_with = _Batch(), 0
        settle_at = time.monotonic() + self._patience.settle_s
        try:
            for received, event in read:
                if not subscription.holds(received.place):  # a partition that has moved on is another member's
                    continue
                await self._deal_with(received, event, known, batch)
                dealt_with += 1
                if time.monotonic() >= settle_at:
                    done, batch = batch, _Batch()
                    await self._settle(subscription, done)
                    settle_at = time.monotonic() + self._patience.settle_s
        finally:
            await self._settle(subscription, batch)
        return dealt_with

    async def _deal_with(
        self, received: Received, event: Event | InvalidRequest, known: set[str], batch: _Batch
    ) -> None:
        if received.headers.get(FOR_GROUP, self._group) != self._group or (
            isinstance(event, Event) and not matches(event.type, self._types)
        ):
            pass  # replayed for another group, or of no interest to this one
        elif isinstance(event, InvalidRequest):
            self._bury(received, event, 0, batch)
        elif key_of(event) in known:
            self._metrics.duplicates.labels(self._group).inc()
        else:
            tries, error = await self._try(event)
            if error is None:
                known.add(key_of(event))
                batch.keys.append(key_of(event))
                self._metrics.handled.labels(self._group).inc()
                late_s = (datetime.now(UTC) - event.time).total_seconds()
                self._metrics.lag.labels(self._group).observe(max(0.0, late_s))
            else:
                self._bury(received, error, tries, batch)
        batch.places.append(received.place)

    async def _try(self, event: Event) -> tuple[int, Exception | None]:
        """How often it was tried, and what it failed with. Raises `StoreUnavailable` for an outage that lasts."""
        pause_s, tries = self._patience.pause_first_s, 0
        outage_ends = time.monotonic() + self._patience.outage_s
        while True:
            try:
                await self._handle(event)
                return tries + 1, None
            except StoreUnavailable:
                if time.monotonic() >= outage_ends:
                    raise
            except Exception as error:  # noqa: BLE001 - the handler's boundary: kept with the dead letter
                tries += 1
                if tries >= self._patience.tries:
                    return tries, error
            self._metrics.tried_again.labels(self._group).inc()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._patience.pause_longest_s)

    def _bury(self, received: Received, error: Exception, tries: int, batch: _Batch) -> None:
        place = received.place
        logger.error(
            "event_dead_lettered",
            extra={
                "group": self._group, "topic": place.topic, "partition": place.partition, "offset": place.offset,
                "error": type(error).__name__, "tries": tries,
            },
        )  # fmt: skip
        dead_topic = self._bus.status.dead_topic
        batch.dead.append(dead_letter_of(received, dead_topic, group=self._group, error=error, tries=tries))

    async def _settle(self, subscription: Subscription, batch: _Batch) -> None:
        """Dead letters are kept and ids remembered before the group goes on."""
        if not batch.places:
            return
        try:
            async with asyncio.timeout(_SETTLE_S):
                if batch.dead:
                    await self._bus.publish(batch.dead)
                    self._metrics.dead.labels(self._group).inc(len(batch.dead))
                await self._duplicates.add(batch.keys)
                await subscription.commit(batch.places)
        except TimeoutError:
            raise StoreUnavailable("What was handled could not be committed in time.", retry_after_s=1.0) from None

    async def _forget(self) -> None:
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + _FORGET_EVERY_S
            await self._duplicates.forget(older_than_s=self._forget_s)


@asynccontextmanager
async def _staying(subscription: Subscription, every_s: float) -> AsyncIterator[None]:
    """A member of the group all the while, however long a handler takes."""

    done = asyncio.Event()

    async def prolong() -> None:
        while not done.is_set():
            try:
                async with asyncio.timeout(every_s):
                    await done.wait()
            except TimeoutError:
                with contextlib.suppress(OssaError):  # the next commit says so
                    await subscription.prolong()

    staying = asyncio.create_task(prolong())
    try:
        yield
    finally:
        done.set()  # not cancelled: a query that is under way would cost its connection
        await asyncio.wait([staying])


def _read(received: Received) -> Event | InvalidRequest:
    try:
        return event_of(received)
    except InvalidRequest as error:
        return error
