"""A bus in memory, for tests and for trying out: it keeps its promises, and its test verbs make life hard for others.

bus = MemoryBus()
bus.go_away(); bus.come_back(); bus.slow_down(0.2); bus.duplicate(every=3); bus.lose_answers(1)
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import defaultdict
from collections.abc import Sequence

from ossa.contracts.errors import BusUnavailable
from ossa.contracts.events import BusStatus, Message, PartitionLag, Place, Received

PARTITIONS = 8


class MemoryBus:
    """`ossa.contracts.events.EventBus`, for one event loop. Partitions are read in an order that `rng` chooses."""

    def __init__(self, *, partitions: int = PARTITIONS, rng: random.Random | None = None) -> None:
        self.status = BusStatus(kind="memory", address="", topic="events", dead_topic="events.dead")
        self._partitions = partitions
        self._rng = rng or random.Random(0)
        self._kept: dict[str, list[list[Received]]] = {
            topic: [[] for _ in range(partitions)] for topic in (self.status.topic, self.status.dead_topic)
        }
        self._committed: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        self._members: dict[str, list[MemorySubscription]] = defaultdict(list)
        self._news = asyncio.Event()
        self._away = False
        self._slow_s = 0.0
        self._lost_answers = 0
        self._again_every = 0
        self._published = 0

    async def prepare(self) -> None:
        await self.reach()

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.reach()
        for message in messages:
            self._published += 1
            again = self._again_every and self._published % self._again_every == 0
            for _ in range(2 if again else 1):
                self._keep(message)
        self._news.set()
        if self._lost_answers:
            self._lost_answers -= 1
            raise BusUnavailable("The bus in memory was told to lose an answer.")

    async def subscribe(self, group: str) -> MemorySubscription:
        await self.reach()
        members = self._members[group]
        members.append(MemorySubscription(self, self.status.topic, group, member=True))
        self._rebalance(group)
        return members[-1]

    async def read(self, topic: str, *, group: str | None = None, newest: bool = False) -> MemorySubscription:
        await self.reach()
        found = MemorySubscription(self, topic, group, member=False)
        for number, kept in enumerate(self._kept[topic]):
            found.positions[number] = len(kept) if newest else self.committed(group, topic).get(number, 0)
        return found

    async def lag(self, group: str, *, topic: str | None = None) -> list[PartitionLag]:
        await self.reach()
        topic = topic or self.status.topic
        at = self.committed(group, topic)
        return [
            PartitionLag(
                topic=topic, partition=number, committed=at.get(number, 0), end=len(kept),
                waiting=len(kept) - at.get(number, 0),
            )
            for number, kept in enumerate(self._kept[topic])
        ]  # fmt: skip

    async def close(self) -> None:
        """What is in it stays."""

    # Test verbs

    def go_away(self) -> None:
        """From now on every call raises `BusUnavailable`."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def slow_down(self, seconds: float) -> None:
        """Every call takes so long."""
        self._slow_s = seconds

    def duplicate(self, *, every: int) -> None:
        """Keep each n-th message twice; 0 ends that."""
        self._again_every = every

    def lose_answers(self, count: int) -> None:
        """The next `publish` calls keep all, and raise."""
        self._lost_answers = count

    def kept(self, topic: str | None = None) -> list[Received]:
        """All messages, partition by partition."""
        return [received for kept in self._kept[topic or self.status.topic] for received in kept]

    # For subscriptions

    async def reach(self) -> None:
        if self._slow_s:
            await asyncio.sleep(self._slow_s)
        if self._away:
            raise BusUnavailable("The bus in memory was told to be away.", retry_after_s=1.0)

    def committed(self, group: str | None, topic: str) -> dict[int, int]:
        return {} if group is None else self._committed[(group, topic)]

    def after(self, topic: str, positions: dict[int, int], limit: int) -> list[Received]:
        """What lies behind the positions, in some order of partitions; the positions move on."""
        numbers = list(positions)
        self._rng.shuffle(numbers)
        found: list[Received] = []
        for number in numbers:
            more = self._kept[topic][number][positions[number] :][: limit - len(found)]
            positions[number] += len(more)
            found.extend(more)
        return found

    async def news(self, wait_s: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return

    def leave(self, subscription: MemorySubscription) -> None:
        if subscription.group is not None and subscription in self._members[subscription.group]:
            self._members[subscription.group].remove(subscription)
            self._rebalance(subscription.group)

    def _keep(self, message: Message) -> None:
        number = zlib.crc32(message.key.encode()) % self._partitions
        kept = self._kept[message.topic][number]
        place = Place(message.topic, number, len(kept))
        kept.append(Received(place, message.key, message.value, dict(message.headers)))

    def _rebalance(self, group: str) -> None:
        members = self._members[group]
        at = self.committed(group, self.status.topic)
        for number, member in enumerate(members):
            mine = range(number, self._partitions, len(members))
            member.positions = {one: member.positions.get(one, at.get(one, 0)) for one in mine}


class MemorySubscription:
    """`ossa.contracts.events.Subscription`."""

    def __init__(self, bus: MemoryBus, topic: str, group: str | None, *, member: bool) -> None:
        self.group = group
        self.positions: dict[int, int] = {}
        self._bus = bus
        self._topic = topic
        self._member = member

    async def take(self, *, limit: int, wait_s: float) -> list[Received]:
        await self._bus.reach()
        found = self._bus.after(self._topic, self.positions, limit)
        if not found:
            await self._bus.news(wait_s)
            found = self._bus.after(self._topic, self.positions, limit)
        return found

    def holds(self, place: Place) -> bool:
        return place.partition in self.positions

    async def prolong(self) -> None:
        """A member of this bus stays until it leaves."""

    async def commit(self, places: Sequence[Place]) -> None:
        await self._bus.reach()
        at = self._bus.committed(self.group, self._topic)
        for place in places:
            if self.holds(place):
                at[place.partition] = max(at.get(place.partition, 0), place.offset + 1)

    async def close(self) -> None:
        if self._member:
            self._bus.leave(self)
        self.positions = {}
