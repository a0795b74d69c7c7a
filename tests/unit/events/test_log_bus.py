"""The fact log as a bus: who reads which share, and what becomes of it when a member, a share or the server changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, Fact, Lease, LogPage, Message, Received
from ossa.contracts.facts import Act
from ossa.events.consumer import DuplicateFilter, EventConsumer, Handle, Patience
from ossa.events.dead_letters import FOR_GROUP, dead_letters, replay
from ossa.events.log_bus import DEAD_TOPIC, TOPIC, LogBus, LogSubscription
from ossa.events.publisher import ConsumerMetrics
from ossa.testing.stores import MemoryStores
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate
from tests.unit.events.test_publisher import running
from tests.unit.events.world import World, until

pytestmark = pytest.mark.asyncio

LEASE_S = 0.3


class Noted(Act):
    """Something was noted, for these tests alone"""

    number: int = 0


Noted.TYPE = "ossa.test.noted.v1"


def note(number: int) -> Fact:
    return Fact(Noted(number=number), key="test/1", name=str(number))


def numbers(received: Sequence[Received]) -> list[int]:
    return [one.event.data.get("number", 0) for one in received if one.event is not None]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Moving(MemoryFacts):
    """The log of a server that another one follows, some commits behind."""

    server = "first"

    def fail_over(self, *, lost: int) -> None:
        """The follower leads. It hands out the positions of what it never got again."""
        self.server = "second"
        del self._rows[len(self._rows) - lost :]
        self._last -= lost

    async def read(self, after: int, *, limit: int, tenant: str | None = None, tasks: bool = True) -> LogPage:
        return replace(await super().read(after, limit=limit, tenant=tenant, tasks=tasks), server=self.server)

    async def join(self, group: str, *, shards: int, owner: str, ttl_s: float, newest: bool = False) -> list[Lease]:
        leases = await super().join(group, shards=shards, owner=owner, ttl_s=ttl_s, newest=newest)
        return [replace(lease, server=self.server) for lease in leases]

    async def commit(self, lease: Lease, offset: int, *, owner: str) -> Lease | None:
        return await super().commit(lease, offset, owner=owner) if lease.server == self.server else None


def moving() -> Moving:
    return Moving(Gate(), lambda: datetime.now(UTC))


async def taken(subscription: LogSubscription, number: int) -> list[Received]:
    found: list[Received] = []
    async with asyncio.timeout(20):
        while len(found) < number:
            found += await subscription.take(limit=100, wait_s=0.01)
    return found


def consumer(log: LogBus, handle: Handle, patience: Patience) -> EventConsumer:
    metrics = ConsumerMetrics(CollectorRegistry())
    return EventConsumer(log, "g", handle, metrics=metrics, duplicates=DuplicateFilter("g"), patience=patience)


async def test_a_handler_that_takes_longer_than_a_lease_keeps_its_share_and_gets_on() -> None:
    facts = MemoryStores().facts
    await facts.tell([note(number) for number in range(3)])
    handled: list[tuple[str, str]] = []
    may_end = asyncio.Event()

    def slow(name: str) -> Handle:
        async def handle(event: Event) -> None:
            handled.append((name, event.id))
            await may_end.wait()

        return handle

    patience = Patience(wait_s=0.01, settle_s=3600, prolong_s=LEASE_S / 10)
    first, second = (LogBus(facts, owner=name, lease_s=LEASE_S) for name in "ab")
    async with running(consumer(first, slow("a"), patience).run()):
        await until(lambda: bool(handled))
        async with running(consumer(second, slow("b"), patience).run()):
            await asyncio.sleep(3 * LEASE_S)
            may_end.set()
            await until(lambda: not facts.waiting("g"))
    assert [name for name, _ in handled] == ["a", "a", "a"]


async def test_a_member_that_prolongs_while_its_batch_ends_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = MemoryStores().facts
    handled: list[str] = []
    prolonging = asyncio.Event()

    async def prolong(_: LogSubscription) -> None:
        prolonging.set()
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:  # as a driver whose connection is lost meanwhile
            raise StoreUnavailable("lost") from None

    async def handle(event: Event) -> None:
        handled.append(event.id)
        await prolonging.wait()

    monkeypatch.setattr(LogSubscription, "prolong", prolong)
    async with running(consumer(LogBus(facts, owner="a"), handle, Patience(wait_s=0.01, prolong_s=0.001)).run()):
        for number in range(2):
            await facts.tell([note(number)])
            await until(lambda: not facts.waiting("g"))
    assert len(handled) == 2


async def test_a_long_batch_is_committed_in_parts() -> None:
    facts = MemoryStores().facts
    await facts.tell([note(number) for number in range(3)])
    handled: list[str] = []

    async def handle(event: Event) -> None:
        handled.append(event.id)
        if len(handled) == 3:
            await asyncio.Event().wait()

    async with running(consumer(LogBus(facts, owner="a"), handle, Patience(settle_s=0)).run()):
        await until(lambda: len(handled) == 3)
        assert facts.waiting("g") == 1


async def test_a_batch_of_an_earlier_lease_does_not_count_under_a_later_one() -> None:
    facts, clock = MemoryStores().facts, Clock()
    await facts.tell([note(number) for number in range(4)])
    subscription = await LogBus(facts, owner="a", lease_s=LEASE_S, clock=clock).subscribe("g")
    batch = await taken(subscription, 4)
    await subscription.commit([batch[0].place])
    assert subscription.holds(batch[1].place)
    await facts.seek("g", 0)  # by somebody else, meanwhile
    clock.now += LEASE_S
    await subscription.prolong()
    assert not subscription.holds(batch[1].place)
    await subscription.commit([one.place for one in batch])
    assert facts.waiting("g") == 5  # with the fact that tells of it
    assert numbers(await taken(subscription, 4))[:4] == [0, 1, 2, 3]


async def test_what_a_new_leader_hands_out_again_is_read_though_a_batch_was_under_way() -> None:
    facts = moving()
    subscription = await LogBus(facts, owner="a").subscribe("g")
    for number in range(4):
        await facts.tell([note(number)])
    batch = await taken(subscription, 4)
    facts.fail_over(lost=2)
    for number in (7, 8):
        await facts.tell([note(number)])
    await subscription.commit([one.place for one in batch])
    assert numbers(await taken(subscription, 4)) == [0, 1, 7, 8]


async def test_what_a_new_leader_hands_out_again_is_read_though_it_was_of_no_interest_before() -> None:
    facts, clock = moving(), Clock()
    subscription = await LogBus(facts, owner="a", lease_s=LEASE_S, clock=clock).subscribe("g", tasks=False)
    for _ in range(3):
        facts.add(key="task_1", tenant="t", telling=b"[]")
    assert await subscription.take(limit=10, wait_s=0) == []
    facts.fail_over(lost=2)
    clock.now += LEASE_S
    assert await subscription.take(limit=10, wait_s=0) == []
    await facts.tell([note(7)])
    assert numbers(await taken(subscription, 1)) == [7]


async def test_a_page_of_another_server_than_the_lease_is_not_read_under_it() -> None:
    facts = moving()
    subscription = await LogBus(facts, owner="a").subscribe("g")
    for number in range(4):
        await facts.tell([note(number)])
    facts.fail_over(lost=2)  # after the join, before the first page
    assert await subscription.take(limit=10, wait_s=0) == []
    await facts.tell([note(7)])
    assert numbers(await taken(subscription, 3)) == [0, 1, 7]


async def test_two_processes_of_one_name_are_two_members() -> None:
    facts = MemoryStores().facts
    first, second = LogBus(facts, owner="gateway"), LogBus(facts, owner="gateway")
    one, other = await first.subscribe("g", shards=2), await second.subscribe("g", shards=2)
    await one.join()
    await other.join()
    assert len({position.owner for position in await facts.positions()}) == 2


async def test_dead_letters_are_listed_and_replayed_though_their_numbers_have_gaps() -> None:
    facts = MemoryStores().facts
    bus = LogBus(facts, owner="a")
    headers = {"ossa-group": "g", "ossa-topic": TOPIC}
    await bus.publish([Message(DEAD_TOPIC, "old", b"{}", headers) for _ in range(3)])
    await facts.prune(before=datetime.now(UTC) + timedelta(hours=1))
    await bus.publish([Message(DEAD_TOPIC, "new", b"{}", headers)])
    assert [letter.key for letter in await dead_letters(bus)] == ["new"]
    assert await replay(bus) == 1
    assert await dead_letters(bus) == []


async def test_a_fact_that_is_replayed_for_another_group_is_not_exported() -> None:
    world = World()
    await world.stores.facts.put(
        [Message(TOPIC, "k", b"{}", {FOR_GROUP: "audit"}), Message(TOPIC, "k", b"{}", {FOR_GROUP: "kafka"})]
    )
    async with running(world.publisher().run_forever()):
        await until(lambda: not world.waiting())
    assert [received.headers[FOR_GROUP] for received in world.bus.kept()] == ["kafka"]
