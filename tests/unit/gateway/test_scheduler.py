"""A request that waits for an agent costs nothing until something changes; a full queue costs no slot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ossa.contracts.errors import FleetBusy
from ossa.contracts.task import TaskRequest
from ossa.gateway import scheduler as module
from ossa.routing.index import RoutingRequest
from ossa.testing.gateway import FakeFleet, fake_agent


@pytest.fixture
async def full(open_rig: Any) -> Any:
    """A gateway whose one agent is busy with one turn, and its scheduler's decisions counted."""
    rig = await open_rig(fleet=FakeFleet([fake_agent("security-000", slots=1)]), busy_wait_s=30.0)
    rig.scheduler = rig.dispatcher.scheduler
    rig.decisions = 0
    decide = rig.scheduler.decide

    def counted(*arguments: Any, **options: Any) -> Any:
        rig.decisions += 1
        return decide(*arguments, **options)

    rig.scheduler.decide = counted
    return rig


REQUEST = RoutingRequest.of_request(TaskRequest(messages=[{"role": "user", "content": "hi"}]), "default")


async def test_a_waiting_request_is_routed_again_only_when_something_changed(
    full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(module, "ROUTE_AGAIN_S", 60.0)
    held = full.scheduler.reserve(REQUEST)
    waiting = asyncio.create_task(full.scheduler.wait_for_slot(REQUEST, until=None))
    await asyncio.sleep(0.05)  # fifty looks
    assert full.decisions == 2  # the one that got the slot, and the one that found it taken
    held.release()
    (await waiting).release()
    assert full.decisions == 3


async def test_a_new_agent_ends_the_wait(full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(module, "ROUTE_AGAIN_S", 60.0)
    held = full.scheduler.reserve(REQUEST)
    waiting = asyncio.create_task(full.scheduler.wait_for_slot(REQUEST, until=None))
    await asyncio.sleep(0)
    full.fleet.add(fake_agent("security-001"))
    async with asyncio.timeout(10):
        assert (await waiting).agent.agent_id == "security-001"
    held.release()


async def test_a_waiter_that_is_cancelled_hands_its_wake_up_on(full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUTE_AGAIN_S", 60.0)
    held = full.scheduler.reserve(REQUEST)
    first = asyncio.create_task(full.scheduler.wait_for_slot(REQUEST, until=None))
    second = asyncio.create_task(full.scheduler.wait_for_slot(REQUEST, until=None))
    await asyncio.sleep(0)
    held.release()
    first.cancel()
    async with asyncio.timeout(10):
        (await second).release()


async def test_a_request_gives_up_at_its_time_with_the_reason(full: Any) -> None:
    held = full.scheduler.reserve(REQUEST)
    with pytest.raises(FleetBusy) as refusal:
        await full.scheduler.wait_for_slot(REQUEST, until=full.context.core.clock() + 0.02)
    assert refusal.value.retry_after_s == 1.0
    held.release()


async def test_a_full_queue_refuses_a_task_before_it_is_routed(open_rig: Any) -> None:
    rig = await open_rig(max_queued_tasks=1)
    rig.link.hold()
    assert (await rig.call("POST", "/api/v1/tasks", {"input": "hi"})).status_code == 202
    inflight = dict(rig.dispatcher.scheduler.inflight)

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("routed")

    rig.dispatcher.scheduler.reserve = never
    answer = await rig.call("POST", "/api/v1/tasks", {"input": "hi"})
    assert answer.status_code == 429
    assert dict(rig.dispatcher.scheduler.inflight) == inflight
    rig.link.let_go()
