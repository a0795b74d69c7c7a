"""A gateway that tells events: the chore, the metrics, the status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ossa.contracts.configuration import EventSettings
from ossa.events.messages import event_of
from ossa.testing.bus import MemoryBus
from ossa.testing.stores import MemoryStores

pytestmark = pytest.mark.asyncio

TELLING = EventSettings(mock=True, groups=("audit",))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(4000):
        if await condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true within 20 s")


async def status(rig: Any) -> dict[str, Any]:
    answer = await rig.call("GET", "/api/v1/events/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_chat_s_events_come_onto_the_bus_without_what_was_said(open_rig: Any) -> None:
    bus = MemoryBus()
    rig = await open_rig(stores=MemoryStores(events=TELLING), bus=bus, events_as=TELLING)
    assert (await rig.ask("what is my secret?")).status_code == 200

    async def finished() -> bool:
        return any(b"finished" in received.value for received in bus.kept())

    await until(finished)
    events = [event_of(received) for received in bus.kept()]
    kinds = [event.type for event in events if event.type.startswith("ossa.task.")]
    assert kinds[0] == "ossa.task.accepted.v1"
    assert kinds[-1] == "ossa.task.finished.v1"
    assert "ossa.task.step.v1" in kinds
    assert all(b"secret" not in received.value for received in bus.kept())
    found = await status(rig)
    assert (found["telling"], found["leading"], found["trouble"]) == (True, True, "")
    assert found["published"] == len(events)
    assert found["groups"] == {"audit": len(events)}


async def test_a_bus_that_is_away_is_told_and_holds_no_chat_up(open_rig: Any) -> None:
    bus = MemoryBus()
    bus.go_away()
    rig = await open_rig(stores=MemoryStores(events=TELLING), bus=bus, events_as=TELLING)
    assert (await rig.ask()).status_code == 200

    async def troubled() -> bool:
        found = await status(rig)
        return bool(found["trouble"]) and found["outbox"]["rows"] > 0

    await until(troubled)
    bus.come_back()

    async def drained() -> bool:
        return (await status(rig))["outbox"]["rows"] == 0

    await until(drained)


async def test_what_waits_is_among_the_metrics(open_rig: Any) -> None:
    rig = await open_rig(stores=MemoryStores(events=TELLING), bus=MemoryBus(), events_as=TELLING)

    async def measured() -> bool:
        text = (await rig.call("GET", "/metrics")).text
        names = ("ossa_events_outbox_rows", "ossa_events_outbox_oldest_seconds", "ossa_events_published_total")
        return all(name in text for name in names) and 'ossa_events_group_lag{group="audit"' in text

    await until(measured)


async def test_without_kafka_nothing_waits_for_it_and_the_status_says_so(open_rig: Any) -> None:
    rig = await open_rig()
    assert (await rig.ask()).status_code == 200
    found = await status(rig)
    assert (found["telling"], found["bus"], found["outbox"]["rows"]) == (False, None, 0)
