"""A client that hangs up: whatever the moment, nobody works for it, unless it may come back with its key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ossa.contracts.stores import Accepted
from ossa.contracts.task import NewTask, Task, TaskStatus
from ossa.gateway.api.responses import EventStream
from ossa.testing.gateway import eventually


class SlowAccept:
    """Holds `accept` before or after its commit."""

    def __init__(self, journal: Any, *, commits_first: bool) -> None:
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.new: list[NewTask] = []
        self._accept = journal.accept
        self._commits_first = commits_first
        journal.accept = self.accept

    async def accept(self, new: NewTask, *, owner: str | None) -> Accepted:
        self.new.append(new)
        accepted: Accepted | None = None
        if self._commits_first:
            accepted = await self._accept(new, owner=owner)
        self.entered.set()
        await self.gate.wait()
        return accepted or await self._accept(new, owner=owner)


async def _ended(rig: Any, new: NewTask) -> Task:
    async def look() -> Task | None:
        tasks = await rig.stores.journal.tasks(tenant=new.tenant)
        return next((task for task in tasks if task.id == new.id and task.status.ended), None)

    found: Task = await eventually(look)
    return found


async def _hang_up_during_accept(rig: Any, asked: asyncio.Task[Any], slow: SlowAccept) -> Task:
    await asyncio.wait_for(slow.entered.wait(), 5)
    asked.cancel()
    await asyncio.wait((asked,))
    slow.gate.set()
    return await _ended(rig, slow.new[0])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("commits_first", [False, True])
async def test_a_chat_whose_client_hung_up_while_it_was_accepted_is_cancelled(
    rig: Any, commits_first: bool, stream: bool
) -> None:
    rig.link.hold()
    slow = SlowAccept(rig.stores.journal, commits_first=commits_first)
    owners = {lease.owner for lease in rig.dispatcher.leases.all}
    task = await _hang_up_during_accept(rig, asyncio.create_task(rig.ask(stream=stream)), slow)
    assert (task.status, task.attempts) == (TaskStatus.CANCELLED, 1)
    assert rig.link.turns == []
    assert {lease.owner for lease in rig.dispatcher.leases.all} == owners
    await eventually(lambda: not rig.dispatcher.scheduler.inflight and not rig.dispatcher.running)


@pytest.mark.parametrize("commits_first", [False, True])
async def test_a_chat_with_a_key_goes_on_when_its_client_hung_up_while_it_was_accepted(
    rig: Any, commits_first: bool
) -> None:
    slow = SlowAccept(rig.stores.journal, commits_first=commits_first)
    asked = asyncio.create_task(rig.ask(headers={"idempotency-key": "k1"}))
    task = await _hang_up_during_accept(rig, asked, slow)
    assert (task.status, task.attempts) == (TaskStatus.SUCCEEDED, 1)
    again = await rig.ask(headers={"idempotency-key": "k1"})
    assert again.headers["x-ossa-task-id"] == task.id


async def test_a_task_whose_client_hung_up_while_it_was_accepted_is_done_by_its_first_owner(rig: Any) -> None:
    slow = SlowAccept(rig.stores.journal, commits_first=True)
    asked = asyncio.create_task(rig.call("POST", "/api/v1/tasks", {"input": "x"}))
    task = await _hang_up_during_accept(rig, asked, slow)
    assert (task.status, task.attempts) == (TaskStatus.SUCCEEDED, 1)


async def test_a_chat_whose_client_hung_up_before_there_was_an_agent_is_not_accepted(open_rig: Any) -> None:
    rig = await open_rig(busy_wait_s=30)
    rig.link.hold()
    asked = [asyncio.create_task(rig.ask(model="pool/security")) for _ in range(9)]
    await eventually(lambda: rig.link.running == 8)
    asked[8].cancel()
    await asyncio.wait((asked[8],))
    rig.link.let_go()
    assert {(await one).status_code for one in asked[:8]} == {200}
    assert len(rig.link.turns) == 8
    assert await rig.stores.journal.count_open() == 0


async def test_many_who_hang_up_at_once_leave_nothing_to_do(open_rig: Any) -> None:
    rig = await open_rig(busy_wait_s=30)
    rig.link.slow(60)
    slow = SlowAccept(rig.stores.journal, commits_first=False)
    asked = [asyncio.create_task(rig.ask()) for _ in range(100)]
    await asyncio.wait_for(slow.entered.wait(), 5)
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)
    slow.gate.set()
    for new in slow.new:
        assert (await _ended(rig, new)).status is TaskStatus.CANCELLED
    rig.link.slow(0)
    assert (await rig.ask()).status_code == 200


async def test_a_streams_task_is_cancelled_when_the_client_has_gone_before_the_stream_began() -> None:
    began, on_unread = [], []

    async def events() -> Any:
        began.append(1)
        yield b""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.Event().wait()

    await EventStream(events(), on_unread=lambda: on_unread.append(1))({"type": "http"}, receive, send)
    assert (began, on_unread) == ([], [1])
