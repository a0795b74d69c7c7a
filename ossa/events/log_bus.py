"""The fact log as an event bus: it is always there, and its groups keep their positions in the log's own store."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import orjson

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import (
    BusStatus,
    Event,
    FactLog,
    GroupPosition,
    Lease,
    LogItem,
    Message,
    PartitionLag,
    Place,
    Received,
)

TOPIC = "ossa.events"
DEAD_TOPIC = "ossa.events.dead"

LEASE_S = 6.0
"""A member that says nothing for so long loses its shares of a group."""

_ROWS = 500
_MOST_DEAD = 10_000
_MOVED_PAUSE_S = 0.1


class LogBus:
    """`ossa.contracts.events.EventBus` over a `FactLog`.

    A share of a group takes the part of a partition: a key belongs to one of them. A group has one share unless
    `subscribe` is told otherwise.

    Args:
        owner: begins the names of this process among the members of a group.
        lease_s: seconds after which others take over the shares of a process that has died.
    """

    def __init__(
        self, log: FactLog, *, owner: str, lease_s: float = LEASE_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self.log = log
        self._owner = f"{owner}-{secrets.token_hex(4)}"
        self._lease_s = lease_s
        self._clock = clock
        self._members = 0

    @property
    def status(self) -> BusStatus:
        return BusStatus(kind="postgresql", address="", topic=TOPIC, dead_topic=DEAD_TOPIC)

    async def prepare(self) -> None:
        await self.log.settled()

    async def publish(self, messages: Sequence[Message]) -> None:
        if unknown := {message.topic for message in messages} - {TOPIC, DEAD_TOPIC}:
            raise InvalidRequest(f"The fact log has no topic {sorted(unknown)[0]}.", param="topic")
        await self.log.bury([message for message in messages if message.topic == DEAD_TOPIC])
        if facts := [message for message in messages if message.topic == TOPIC]:
            await self.log.put(facts)

    async def subscribe(
        self, group: str, *, shards: int = 1, tasks: bool = True, newest: bool = False
    ) -> LogSubscription:
        """Joins a group.

        Args:
            shards: in how many shares keys are divided, which may be read by as many processes.
            tasks: False leaves out the facts of tasks.
            newest: a group that nobody knows starts after the newest fact, not with the oldest.
        """
        self._members += 1
        subscription = LogSubscription(
            self.log,
            group,
            shards=shards,
            owner=f"{self._owner}-{self._members}",
            lease_s=self._lease_s,
            tasks=tasks,
            newest=newest,
            clock=self._clock,
        )
        await subscription.join()
        return subscription

    async def read(self, topic: str, *, group: str | None = None, newest: bool = False) -> LogReader:
        if topic not in (TOPIC, DEAD_TOPIC):
            raise InvalidRequest(f"The fact log has no topic {topic}.", param="topic")
        dead = topic == DEAD_TOPIC
        if newest:
            offset = await (self.log.dead_end() if dead else self.log.settled())
        else:
            offset = min((position.offset for position in await self._positions(group)), default=0)
        return LogReader(self.log, offset, group=group, dead=dead)

    async def lag(self, group: str, *, topic: str | None = None) -> list[PartitionLag]:
        """Counts at most 10,000 dead letters: their numbers are not dense."""
        topic = topic or TOPIC
        positions = await self._positions(group) or [GroupPosition(group=group, shard=0, shards=1, offset=0)]
        lags = []
        for position in positions:
            if topic == DEAD_TOPIC:
                end = await self.log.dead_end()
                waiting = len(await self.log.dead(position.offset, limit=_MOST_DEAD))
            else:
                end = await self.log.settled()
                waiting = -(-await self.log.count(position.offset) // position.shards)
            lags.append(
                PartitionLag(topic=topic, partition=position.shard, committed=position.offset, end=end, waiting=waiting)
            )
        return lags

    async def close(self) -> None:
        """The log belongs to the stores."""

    async def _positions(self, group: str | None) -> list[GroupPosition]:
        if group is None:
            return []
        return [position for position in await self.log.positions() if position.group == group]


class LogSubscription:
    """`ossa.contracts.events.Subscription` of a group's member."""

    def __init__(
        self,
        log: FactLog,
        group: str,
        *,
        shards: int,
        owner: str,
        lease_s: float,
        tasks: bool,
        newest: bool,
        clock: Callable[[], float],
    ) -> None:  # eight values that `LogBus.subscribe` alone passes on
        self._log = log
        self._group = group
        self._shards = shards
        self._owner = owner
        self._lease_s = lease_s
        self._tasks = tasks
        self._newest = newest
        self._clock = clock
        self._join_at = 0.0
        self._turn = asyncio.Lock()
        self._leases: dict[int, Lease] = {}
        self._offered: list[Lease] = []
        """Leases that were got while a batch was dealt with. They begin with the next one: what is left of a batch that
        was read under an earlier lease must not count under this one."""
        self.on_seek: Callable[[], None] | None = None
        """Called when somebody has put a share of this member back."""
        self._last: dict[int, Lease] = {}
        """By share, the last lease that this member had, also of shares that it has no more."""
        self._next: dict[int, int] = {}
        """By share, the offset after what was read."""
        self._given: dict[int, int] = {}
        """By share, the offset of what was given out last and is not committed."""
        self._waiting: deque[Received] = deque()

    @property
    def leads(self) -> bool:
        """Whether any share of the group is this member's."""
        return bool(self._leases)

    async def join(self) -> None:
        """Prolong the membership, and take over shares that are free."""
        await self._renew()
        self._begin_offered()
        await self._commit_what_was_passed_over()

    async def prolong(self) -> None:
        if self._clock() >= self._join_at:
            await self._renew()

    async def take(self, *, limit: int, wait_s: float) -> list[Received]:
        self._begin_offered()
        if self._clock() >= self._join_at:
            await self.join()
        if not self._waiting:
            await self._read()
        if not self._waiting:
            within_s = max(0.0, min(wait_s, self._join_at - self._clock()))
            after = min(self._next.values()) if self._next else await self._log.settled()
            if await self._log.wait(after, within_s=within_s) and self._next:
                await self._read()
        taken: list[Received] = []
        while self._waiting and len(taken) < limit:
            received = self._waiting.popleft()
            if self.holds(received.place):
                self._given[received.place.partition] = received.place.offset
                taken.append(received)
        return taken

    def holds(self, place: Place) -> bool:
        return place.partition in self._leases

    async def commit(self, places: Sequence[Place]) -> None:
        ends: dict[int, int] = {}
        for place in places:
            ends[place.partition] = max(ends.get(place.partition, 0), place.offset + 1)
        async with self._turn:
            for shard, end in ends.items():
                if shard in self._leases and end > self._leases[shard].offset:
                    if self._given.get(shard, 0) < end:
                        self._given.pop(shard, None)
                    await self._commit(shard, end)

    async def close(self) -> None:
        self._leases.clear()
        self._offered.clear()
        self._waiting.clear()
        try:
            await self._log.leave(self._group, owner=self._owner)
        except Exception:  # noqa: BLE001 - the leases end by themselves
            return

    async def _renew(self) -> None:
        async with self._turn:
            self._join_at = self._clock() + self._lease_s / 3
            leases = await self._log.join(
                self._group, shards=self._shards, owner=self._owner, ttl_s=self._lease_s, newest=self._newest
            )
            held = {lease.shard: lease for lease in leases}
            for shard, lease in list(self._leases.items()):
                if held.get(shard) != lease:
                    self._drop(shard)
            self._offered = [lease for lease in leases if lease.shard not in self._leases]

    def _begin_offered(self) -> None:
        for lease in self._offered:
            last = self._last.get(lease.shard, lease)
            if self.on_seek is not None and lease.fence > last.fence and lease.offset < last.offset:
                self.on_seek()
            self._leases[lease.shard] = self._last[lease.shard] = lease
            self._next[lease.shard] = lease.offset
        self._offered = []

    async def _read(self) -> None:
        if not self._next:
            return
        page = await self._log.read(min(self._next.values()), limit=_ROWS, tasks=self._tasks)
        if any(lease.server != page.server for lease in self._leases.values()):
            # What the other server never got is handed out again: go on from where it has the group.
            for shard in list(self._leases):
                self._drop(shard)
            self._join_at = self._clock() + _MOVED_PAUSE_S
            return
        for item in page.items:
            shard = shard_of(item.key, self._shards)
            if shard in self._leases and item.offset >= self._next[shard]:
                self._waiting.append(received_of(item, shard))
        for shard in self._next:
            self._next[shard] = max(self._next[shard], page.end)

    async def _commit(self, shard: int, end: int) -> None:
        lease = await self._log.commit(self._leases[shard], end, owner=self._owner)
        if lease is None:
            self._drop(shard)
            self._join_at = 0.0
        else:
            self._leases[shard] = self._last[shard] = lease

    async def _commit_what_was_passed_over(self) -> None:
        """Shares whose facts are all dealt with go on after those of others, too."""
        busy = {received.place.partition for received in self._waiting} | set(self._given)
        async with self._turn:
            for shard in [shard for shard in self._leases if shard not in busy]:
                if self._next[shard] > self._leases[shard].offset:
                    await self._commit(shard, self._next[shard])

    def _drop(self, shard: int) -> None:
        for kept in (self._leases, self._next, self._given):
            kept.pop(shard, None)
        self._waiting = deque(received for received in self._waiting if received.place.partition != shard)


class LogReader:
    """`ossa.contracts.events.Subscription` that belongs to no group."""

    def __init__(self, log: FactLog, offset: int, *, group: str | None, dead: bool) -> None:
        self._log = log
        self._next = offset
        self._group = group
        self._dead = dead
        self._waiting: deque[Received] = deque()

    async def take(self, *, limit: int, wait_s: float) -> list[Received]:
        if not self._waiting:
            await self._read()
        if not self._waiting and not self._dead and await self._log.wait(self._next, within_s=wait_s):
            await self._read()
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def holds(self, place: Place) -> bool:
        return True

    async def prolong(self) -> None:
        """It has no membership."""

    async def commit(self, places: Sequence[Place]) -> None:
        if places and self._group is not None:
            await self._log.seek(self._group, max(place.offset for place in places) + 1, quietly=True)

    async def close(self) -> None:
        self._waiting.clear()

    async def _read(self) -> None:
        if self._dead:
            for number, message in await self._log.dead(self._next, limit=_ROWS):
                place = Place(DEAD_TOPIC, 0, number)
                self._waiting.append(Received(place, message.key, message.value, message.headers))
                self._next = number + 1
            return
        page = await self._log.read(self._next, limit=_ROWS)
        self._waiting.extend(received_of(item, 0) for item in page.items)
        self._next = page.end


def shard_of(key: str, shards: int) -> int:
    return zlib.crc32(key.encode()) % shards if shards > 1 else 0


def received_of(item: LogItem, shard: int) -> Received:
    """An item as it comes from a bus."""
    place, content = Place(TOPIC, shard, item.offset), item.content
    if isinstance(content, Event):
        return Received(place, item.key, orjson.dumps(vars(content)), event=content)
    return Received(place, item.key, content.value, content.headers)
