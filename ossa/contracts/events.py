"""Events: what has happened, told to whoever wants to know. CloudEvents 1.0.

A write of the product puts its facts into the fact log, in its own transaction. Consumers read the log in groups; one
of them takes the facts to Kafka, where there is one. An event may come more than once, and always under the same id;
the first comings of the events with one key are in the order in which they happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import ConfigDict, Field

from ossa.contracts.facts import FactData, TaskAccepted, TaskFinished, TaskStep
from ossa.contracts.origin import Origin
from ossa.contracts.value import Value

TASK_ACCEPTED = TaskAccepted.TYPE
TASK_STEP = TaskStep.TYPE
TASK_FINISHED = TaskFinished.TYPE

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
    actor: str = Field("", description="who acted: key/ID, agent/ID or system/PART; empty: not known")
    requestid: str = Field("", description="x-request-id of the request that led to it; empty: none did")
    traceparent: str = Field("", description="W3C trace context; empty: none")
    data: dict[str, Any]


SYSTEM_TENANT = "_system"
"""Tenant of facts that belong to the fleet as a whole. Operators read them."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact before it is written: the store adds time, actor, request id and trace context.

    `key` orders it among others and is the event's subject: `agent/intelligence-003`. `name` makes the event's id
    unique within its key; empty: a random one. `time` is for what happened earlier than it is written, `origin` for
    what somebody else did than the current one.
    """

    data: FactData
    key: str
    tenant: str = SYSTEM_TENANT
    name: str = ""
    time: datetime | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lies. Offsets of a partition grow; they need not be dense."""

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
class LogItem:
    """One thing in the fact log: an event, or a message that came from elsewhere (a replayed one).

    `offset` grows along the log. Offsets of facts with one key are in the order of their commits.
    """

    offset: int
    key: str
    content: Event | Message


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some of the log, in its order. `end` is the offset to go on from: everything before it was looked at.

    `server` names the life of the server it came from: another one may lack what this one had last.
    """

    items: tuple[LogItem, ...]
    end: int
    server: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to read one share of a group's facts. `offset` is where the group goes on.

    `server`: only pages of the same one are read under it.
    """

    group: str
    shard: int
    offset: int
    fence: int
    server: str = ""


class GroupPosition(Value):
    """Where one share of a consumer group is. `owner` is empty while nobody reads it."""

    group: str
    shard: int
    shards: int
    offset: int
    owner: str = ""


class FactLog(Protocol):
    """What has happened, in the order of commits. Always there; every method raises `StoreUnavailable`.

    Writes of the stores tell their facts themselves, each in its own transaction; `tell` is for what is written nowhere
    else. Only settled facts are read: no fact appears later under a lower offset.
    """

    async def tell(self, facts: Sequence[Fact]) -> None:
        """Write facts down in one transaction; returns after the commit."""

    async def put(self, messages: Sequence[Message]) -> None:
        """Write messages down as they are, for every group to read; returns after the commit."""

    async def read(self, after: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        """The first settled items from the offset `after` on. `limit` bounds the rows that are looked at.

        Args:
            tenant: only facts of this tenant, under the rights of one.
            tasks: False leaves out the facts of tasks, which are most of all.
        """

    async def read_back(self, before: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        """The last settled items before the offset, newest first; `end` is the offset to go on before."""

    async def settled(self) -> int:
        """The offset after the last settled fact."""

    async def wait(self, after: int, *, within_s: float) -> bool:
        """Waits until something at or after the offset is settled; False when nothing is within `within_s` seconds."""

    async def join(self, group: str, *, shards: int, owner: str, ttl_s: float, newest: bool = False) -> list[Lease]:
        """Start or prolong a membership for `ttl_s` seconds; returns the shares that `owner` holds now.

        Live members get about the same number of shares each. A group that nobody knows starts with the oldest fact
        that is kept, or after the newest one. A group whose number of shares changed has none to give until its other
        members have left.
        """

    async def leave(self, group: str, *, owner: str) -> None:
        """End a membership: others can have its shares at once."""

    async def commit(self, lease: Lease, offset: int, *, owner: str) -> Lease | None:
        """Note that the group goes on from `offset`; returns the new lease.

        None: the share is another member's, its position was changed by somebody else, or another server answers than
        at the join; join again.
        """

    async def seek(self, group: str, offset: int, *, quietly: bool = False) -> None:
        """Put all shares of a group to an offset, and make the group where there is none.

        Whoever reads a share notices at its next commit, and by the fence that it was put there.

        Args:
            quietly: no fact is told: the group's own reader goes on.
        """

    async def positions(self) -> list[GroupPosition]:
        """All groups' positions, by group and share."""

    async def count(self, after: int, *, up_to: int = 10_000, tasks: bool = True) -> int:
        """Facts from the offset on: exact up to `up_to` rows, an estimate above."""

    async def bury(self, messages: Sequence[Message]) -> None:
        """Keep dead letters."""

    async def dead(self, after: int, *, limit: int) -> list[tuple[int, Message]]:
        """Dead letters with their numbers, from the number `after` on, oldest first."""

    async def dead_end(self) -> int:
        """The number after that of the last dead letter."""

    async def prune(self, *, before: datetime) -> int:
        """Remove facts and dead letters from before; returns how many whole parts of the log went."""


class OutboxStatus(Value):
    """How many facts wait for Kafka, and for how long the oldest has."""

    rows: int = 0
    oldest_s: float = 0.0


class ProcessedEvents(Protocol):
    """Which events a consumer has dealt with, for those that come again. Raises `StoreUnavailable`."""

    async def known(self, consumer: str, ids: Sequence[str]) -> frozenset[str]:
        """Those of `ids` that were added."""

    async def add(self, consumer: str, ids: Sequence[str]) -> None:
        """Adding one twice changes nothing."""

    async def prune(self, *, before: datetime) -> int:
        """Forget those that were added before it; how many."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came from the bus, as it came."""

    place: Place
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    event: Event | None = field(default=None, compare=False)
    """The event in `value`, where the bus knows it already."""


class PartitionLag(Value):
    """`waiting`: messages that the group has not committed."""

    topic: str
    partition: int
    committed: int
    end: int
    waiting: int


class BusStatus(Value):
    """`kind` is `mock` for a broker that keeps nothing; `remarks` say what cannot be relied on."""

    kind: Literal["kafka", "mock", "memory", "postgresql"]
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

    async def prolong(self) -> None:
        """Stay a member while what was taken is dealt with: call it every second. Nothing is taken over meanwhile."""

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


class ConsumerStatus(Value):
    """`waiting`: facts that the group has not dealt with; `members`: processes that read for it."""

    group: str
    shards: int
    members: int
    waiting: int


class EventStatus(Value):
    """`leading`: the replica that answered is the one that publishes. `trouble`: why it does not, or ''."""

    telling: bool = Field(description="whether events are exported to Kafka")
    outbox: OutboxStatus = Field(OutboxStatus(), description="facts that wait for Kafka")
    bus: BusStatus | None = None
    leading: bool = False
    published: int = Field(0, description="by the replica that answered, since it began")
    trouble: str = ""
    groups: dict[str, int] = Field(
        default_factory=dict, description="watched groups of Kafka: messages they have not committed"
    )
    consumers: tuple[ConsumerStatus, ...] = Field((), description="groups that read the fact log")
