"""A journal, its fact log and a bus, all in memory; and one who handles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from prometheus_client import CollectorRegistry

from ossa.contracts.events import Event
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus
from ossa.events.consumer import DuplicateFilter, EventConsumer, Patience
from ossa.events.log_bus import LogBus
from ossa.events.messages import event_of
from ossa.events.publisher import GROUP, ConsumerMetrics, Pace, Publisher, PublisherMetrics
from ossa.testing.bus import MemoryBus
from ossa.testing.stores import MemoryStores

QUICK = Pace(facts=3, wait_s=0.01, pause_first_s=0.001, pause_longest_s=0.01)
LEASE_S = 0.5
HASTY = Patience(tries=3, pause_first_s=0.001, pause_longest_s=0.005, outage_s=0.02, wait_s=0.01)


@dataclass
class World:
    stores: MemoryStores = field(default_factory=MemoryStores)
    bus: MemoryBus = field(default_factory=MemoryBus)
    handled: list[Event] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    replicas: Iterator[int] = field(default_factory=count)

    def publisher(self, pace: Pace = QUICK) -> Publisher:
        return Publisher(self.log(), self.bus, metrics=PublisherMetrics(CollectorRegistry()), pace=pace)

    def log(self) -> LogBus:
        """The fact log as another process sees it."""
        return LogBus(self.stores.facts, owner=f"replica-{next(self.replicas)}", lease_s=LEASE_S)

    def waiting(self) -> int:
        return self.stores.facts.waiting(GROUP)

    def consumer(self, handle: object = None, *, keep: bool = True, group: str = "audit") -> EventConsumer:
        async def note(event: Event) -> None:
            self.handled.append(event)

        duplicates = DuplicateFilter(group, processed=self.stores.processed if keep else None)
        return EventConsumer(
            self.bus, group, handle or note, metrics=ConsumerMetrics(CollectorRegistry()),  # type: ignore[arg-type]
            duplicates=duplicates, patience=HASTY,
        )  # fmt: skip

    async def do_tasks(self, count: int) -> list[str]:
        """Each an accept and a finish: two events."""
        names = []
        for _ in range(count):
            names.append(f"task_{time.time_ns():032x}")
            request = TaskRequest(messages=[{"role": "user", "content": "x"}])
            await self.stores.journal.accept(NewTask(id=names[-1], tenant="t", request=request), owner="a")
            await self.stores.journal.finish(names[-1], fence=1, outcome=Outcome(status=TaskStatus.SUCCEEDED))
        return names

    def kept(self) -> list[str]:
        return [event_of(received).id for received in self.bus.kept()]


def firsts(ids: list[str]) -> list[str]:
    """Each at its first coming."""
    return list(dict.fromkeys(ids))


def in_order(ids: list[str], tasks: list[str]) -> bool:
    """Every task's two events are there, and first came in order."""
    found = firsts(ids)
    return all([one for one in found if one.startswith(task)] == [f"{task}:accepted", f"{task}:finished"]
               for task in tasks)  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come true within 20 s"
        await asyncio.sleep(0.002)
