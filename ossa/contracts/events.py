"""Events: what was done, told to whoever wants to know. CloudEvents 1.0.

A journal's write puts what it tells into the outbox, in its own transaction. One publisher takes it from there to the
bus; consumers read the bus in groups. An event may come more than once, and always under the same id; the first comings
of one task's events are in the order in which they happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from ossa.contracts.value import Value

TASK_ACCEPTED = "ossa.task.accepted.v1"
TASK_STEP = "ossa.task.step.v1"
TASK_FINISHED = "ossa.task.finished.v1"

SCHEMA_URN = "urn:ossa:schema:"
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
"""Header `content-type` of a message that holds a whole event (CloudEvents' structured mode)."""


class Event(Value):
    """One CloudEvent. `partitionkey` and `tenant` are extension attributes; those of others are let be.

    `source` and `id` together name it: a second one with both the same is the same event again.
    `data` holds no prompt, answer, or argument of a tool.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), defer_build=True)

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    partitionkey: str
    tenant: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What one write told. `position` grows from one write of a task to its next."""

    position: int
    task_id: str
    events: tuple[Event, ...]


class OutboxStatus(Value):
    """How many entries wait (an estimate where they are many), and for how long the oldest has."""

    rows: int = 0
    oldest_s: float = 0.0


class OutboxLead(Protocol):
    """The right to publish. Every method raises `StoreUnavailable`; the right is lost then, and only `close` is left.

    It is one's alone, for two who publish at once would put the same entries on the bus twice.
    """

    async def read(self, limit: int) -> list[OutboxEntry]:
        """The first entries that are there now, by position. What was read and not removed is read again."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """They are on the bus."""

    async def prune(self, *, before: datetime) -> int:
        """Give up entries that were written before it; how many."""

    async def close(self) -> None:
        """Let another one lead. Raises nothing."""


class EventOutbox(Protocol):
    """What the journal told and nobody has published."""

    async def lead(self) -> OutboxLead | None:
        """None while another one leads. Raises `StoreUnavailable`."""

    async def status(self) -> OutboxStatus:
        """Raises `StoreUnavailable`."""

    async def written(self, *, within_s: float) -> bool:
        """Wait until this process has written to the outbox since the last call, at most so long. Others' writes are
        not heard of."""


class ProcessedEvents(Protocol):
    """Which events a consumer has dealt with, for those that come again. Raises `StoreUnavailable`."""

    async def known(self, consumer: str, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that were added."""

    async def add(self, consumer: str, ids: Sequence[str]) -> None:
        """Adding one twice changes nothing."""

    async def prune(self, *, before: datetime) -> int:
        """Forget those that were added before it; how many."""


@dataclass(frozen=True, slots=True)
class Place:
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Message:
    """What goes onto the bus. Messages of one topic and key stay in order."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """What came from the bus, as it came."""

    place: Place
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class PartitionLag(Value):
    """`waiting`: messages that the group has not committed."""

    topic: str
    partition: int
    committed: int
    end: int
    waiting: int


class BusStatus(Value):
    """`kind` is `mock` for a broker that keeps nothing; `remarks` say what cannot be relied on."""

    kind: Literal["kafka", "mock", "memory"]
    address: str
    topic: str
    dead_topic: str
    remarks: tuple[str, ...] = ()


class Subscription(Protocol):
    """Messages of one topic, those of a partition in order. Every method but `close` raises `BusUnavailable`."""

    async def take(self, *, limit: int, wait_s: float) -> list[Received]:
        """What is there, as soon as something is; empty after `wait_s` without."""

    def holds(self, place: Place) -> bool:
        """Whether its partition is still this subscription's; another member of the group may have got it."""

    async def commit(self, places: Sequence[Place]) -> None:
        """The group goes on after them, partition by partition. Places not held any more are left out."""

    async def close(self) -> None:
        """Leave the group. Raises nothing."""


class EventBus(Protocol):
    """Raises `BusUnavailable` where the bus does not answer in time."""

    @property
    def status(self) -> BusStatus: ...

    async def prepare(self) -> None:
        """See that the topics are there and as the settings say. Raises `TopicUnfit`."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when all are kept. When it raises, some may be: publish all of them again, from the first."""

    async def subscribe(self, group: str) -> Subscription:
        """Join a group that shares the partitions of the events' topic."""

    async def read(self, topic: str, *, group: str | None = None, newest: bool = False) -> Subscription:
        """All partitions of a topic, without joining a group: from the first message, from the newest on, or from
        where `group` has committed."""

    async def lag(self, group: str, *, topic: str | None = None) -> list[PartitionLag]:
        """What a group has not committed, of the events' topic or another. A group nobody knows has all before it."""

    async def close(self) -> None: ...


class EventStatus(Value):
    """`leading`: the replica that answered is the one that publishes. `trouble`: why it does not, or ''."""

    telling: bool = Field(description="whether the journal writes events down")
    outbox: OutboxStatus = OutboxStatus()
    bus: BusStatus | None = None
    leading: bool = False
    published: int = Field(0, description="by the replica that answered, since it began")
    trouble: str = ""
    groups: dict[str, int] = Field(default_factory=dict, description="watched groups: messages they have not committed")
