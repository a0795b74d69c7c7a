"""Groups that read the fact log over PostgreSQL: whoever is slow or fails is in nobody's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database
from ossa.contracts.events import Event, Fact
from ossa.contracts.facts import Act
from ossa.events.consumer import DuplicateFilter, EventConsumer, Handle, Patience
from ossa.events.dead_letters import dead_letters, replay
from ossa.events.log_bus import LogBus
from ossa.events.publisher import ConsumerMetrics
from ossa.stores.postgres import PostgresStores
from tests.contract.conftest import empty

pytestmark = pytest.mark.asyncio


class Noted(Act):
    """Something was noted, for these tests alone"""

    number: int = 0


Noted.TYPE = "ossa.test.noted.v1"


async def test_one_that_is_slow_and_one_that_fails_delay_no_other_and_a_poison_fact_is_replayed_to_who_failed(
    postgres: str, running: Any, until: Any
) -> None:
    stores = PostgresStores(Database(), postgres)
    await stores.open()
    empty(postgres)
    bus = LogBus(stores.facts, owner="here")
    came: dict[str, list[str]] = {"slow": [], "failing": [], "well": []}
    healed, may_end = False, asyncio.Event()

    async def slow(event: Event) -> None:
        came["slow"].append(event.id)
        await may_end.wait()

    async def failing(event: Event) -> None:
        if event.id == "test/1:3" and not healed:
            raise ValueError("poison")
        came["failing"].append(event.id)

    async def well(event: Event) -> None:
        came["well"].append(event.id)

    def consumer(group: str, handle: Handle) -> Any:
        return EventConsumer(
            bus, group, handle, metrics=ConsumerMetrics(CollectorRegistry()), duplicates=DuplicateFilter(group),
            patience=Patience(tries=2, pause_first_s=0.01, wait_s=0.05),
        ).run()  # fmt: skip

    async def have(group: str, number: int) -> bool:
        return len(came[group]) >= number

    async def settled() -> bool:
        return not sum([one.waiting for group in came for one in await bus.lag(group)])

    async with running(consumer("slow", slow), consumer("failing", failing), consumer("well", well)):
        for number in range(6):
            await stores.facts.tell([Fact(Noted(number=number), key="test/1", name=str(number))])
        await until(lambda: have("well", 6))
        await until(lambda: have("failing", 5))
        assert len(came["slow"]) == 1  # it is with the first one still
        may_end.set()
        await until(settled)
        (dead,) = await dead_letters(bus)
        assert (dead.event_id, dead.group, dead.tries) == ("test/1:3", "failing", 2)
        healed = True
        assert await replay(bus) == 1
        await until(lambda: have("failing", 6))
        await until(settled)
    assert came["failing"] == [f"test/1:{number}" for number in (0, 1, 2, 4, 5, 3)]
    assert came["well"] == came["slow"] == [f"test/1:{number}" for number in range(6)]
    await stores.close()
