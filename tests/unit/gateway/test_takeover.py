"""What happens when agents, owners and stores fail under a task."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ossa.contracts.errors import AgentLost, StoreUnavailable
from ossa.contracts.task import NewTask, Outcome, TaskRequest, TaskStatus
from ossa.gateway.api.responses import new_task_id
from ossa.testing.gateway import FakeFleet, FakeLink, eventually, fake_agent
from ossa.testing.stores import MemoryStores


def streamed_text(answer: Any) -> str:
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    pieces = [json.loads(event) for event in events]
    return "".join(choice["delta"].get("content") or "" for piece in pieces for choice in piece.get("choices", ()))


@pytest.fixture
def pair() -> FakeFleet:
    """Two agents of one manifest."""
    return FakeFleet.of({"security": 2})


@pytest.mark.parametrize("step", [0, 1, 2])
async def test_a_lost_agents_task_is_gone_on_with_from_the_last_step(open_rig: Any, pair: FakeFleet, step: int) -> None:
    rig = await open_rig(fleet=pair, link=FakeLink(steps=2))
    rig.link.die_at_step("security-000", step)
    rig.link.die_at_step("security-001", step)
    rig.fleet.add(fake_agent("security-002"))
    answer = await rig.ask(model="pool/security")
    assert answer.status_code == 200
    task_id = answer.headers["x-ossa-task-id"]
    kinds = await rig.kinds(task_id)
    assert kinds.count("model") == 3
    assert set(rig.link.effects.values()) == {1}
    lost = [(agent_id, incarnation) for agent_id, incarnation in rig.fleet.lost]
    assert kinds.count("takeover") == len(lost) <= 2
    steps = await rig.stores.journal.steps(task_id)
    assert [one.seq for one in steps] == list(range(len(steps)))
    assert answer.json()["usage"]["prompt_tokens"] == 2 * 5 + 7


async def test_a_takeover_is_journaled_with_the_lost_agent_and_the_fleet_is_told(open_rig: Any) -> None:
    rig = await open_rig(fleet=FakeFleet([fake_agent("security-000")]))
    rig.link.die_at_step("security-000", 0)
    before = rig.fleet.snapshot().agents[0]
    asked = asyncio.create_task(rig.ask())
    await eventually(lambda: rig.fleet.lost)
    assert rig.fleet.lost == [("security-000", before.incarnation)]
    rig.fleet.replace("security-000")
    answer = await asked
    assert answer.status_code == 200
    (_, step, *_) = await rig.stores.journal.steps(answer.headers["x-ossa-task-id"])
    assert step.kind == "takeover"
    assert step.payload["from_agent"] == "security-000"


async def test_a_lost_process_is_not_asked_again_by_others(open_rig: Any, pair: FakeFleet) -> None:
    rig = await open_rig(fleet=pair)
    rig.link.die_at_step("security-000", 0)
    rig.link.die_at_step("security-001", 99)
    for _ in range(6):
        await rig.ask()
    assert [agent_id for agent_id, _ in rig.link.turns].count("security-000") <= 1


async def test_the_attempts_are_bounded(open_rig: Any) -> None:
    rig = await open_rig(fleet=FakeFleet.of({"security": 10}), max_attempts=3)
    rig.link.break_with(AgentLost("gone"))
    answer = await rig.ask()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "agent_lost"
    kinds = await rig.kinds(answer.headers["x-ossa-task-id"])
    assert kinds.count("takeover") <= 3
    assert set(kinds) <= {"route", "takeover"}


async def test_an_agent_without_a_free_slot_is_passed_by(open_rig: Any, pair: FakeFleet) -> None:
    rig = await open_rig(fleet=pair)
    rig.link.busy("security-000")
    for _ in range(4):
        assert (await rig.ask()).headers["x-ossa-agent"] == "security-001"


async def test_a_turn_that_nobody_cancelled_is_not_cancelled(open_rig: Any, pair: FakeFleet) -> None:
    rig = await open_rig(fleet=pair)
    rig.link.end_with(Outcome(status=TaskStatus.CANCELLED))
    asked = asyncio.create_task(rig.ask())
    await eventually(lambda: len(rig.fleet.lost) == 2)
    rig.link.end_with(None)
    rig.fleet.add(fake_agent("security-002"))
    assert (await asked).status_code == 200


async def test_a_lost_way_to_a_living_agent_is_tried_again(open_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.gateway.scheduler.SUSPECT_S", 0.05)
    rig = await open_rig(fleet=FakeFleet([fake_agent("security-000")]))
    rig.link.die_at_step("security-000", 0)
    assert (await rig.ask()).status_code == 200
    assert [agent_id for agent_id, _ in rig.link.turns] == ["security-000", "security-000"]


async def test_a_stream_goes_on_where_it_was_cut(open_rig: Any, pair: FakeFleet) -> None:
    rig = await open_rig(fleet=pair)
    rig.link.die_at_step("security-000", 1)
    rig.link.die_at_step("security-001", 1)
    rig.fleet.add(fake_agent("security-002"))
    answer = await rig.ask(model="pool/security", stream=True)
    assert streamed_text(answer) == "Hello from a fake agent."
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_stream_whose_successor_says_something_else_ends_with_an_error(open_rig: Any, pair: FakeFleet) -> None:
    rig = await open_rig(fleet=pair)
    rig.link.answer = "One answer."
    rig.link.die_at_step("security-000", 1)
    rig.link.say("security-001", "Another answer.")
    rig.link.busy("security-001")
    asked = asyncio.create_task(rig.ask(stream=True))
    await eventually(lambda: rig.fleet.lost)
    rig.link.free("security-001")
    answer = await asked
    last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    task_id = answer.headers["x-ossa-task-id"]
    assert task_id in last["error"]["message"]
    assert last["error"]["task_id"] == task_id
    assert "[DONE]" not in answer.text
    task = await rig.ended(task_id)
    assert task.outcome is not None and task.outcome.message == {"role": "assistant", "content": "Another answer."}


async def test_an_unavailable_store_is_waited_for_once_work_was_accepted(rig: Any) -> None:
    real = rig.stores.journal.finish
    failures = 3

    async def finish(*args: Any, **kwargs: Any) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailable("away")
        await real(*args, **kwargs)

    rig.stores.journal.finish = finish
    answer = await rig.ask()
    assert answer.status_code == 200
    assert (await rig.task(answer.headers["x-ossa-task-id"])).status is TaskStatus.SUCCEEDED


async def test_a_store_that_is_away_at_the_beginning_is_a_503_and_the_owner_is_changed(rig: Any) -> None:
    real = rig.stores.journal.accept
    owner = rig.dispatcher.leases.current().owner

    async def accept(*args: Any, **kwargs: Any) -> Any:
        await real(*args, **kwargs)  # committed, but nobody hears of it
        raise StoreUnavailable("away")

    rig.stores.journal.accept = accept
    answer = await rig.ask(headers={"idempotency-key": "k1"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    rig.stores.journal.accept = real
    await eventually(lambda: rig.dispatcher.leases.held)
    assert rig.dispatcher.leases.current().owner != owner
    # The task that was committed all the same is claimed from the retired owner, and done.
    again = await rig.ask(headers={"idempotency-key": "k1"})
    assert again.status_code == 200
    assert len(rig.link.turns) == 1


async def test_another_replica_takes_over_when_an_owner_stops_renewing(open_rig: Any, pair: FakeFleet) -> None:
    first = await open_rig(fleet=pair, lease_ttl_s=1.5)
    first.link.hold()
    second = await open_rig(stores=first.stores, fleet=pair, lease_ttl_s=1.5)
    asked = asyncio.create_task(first.ask())
    await eventually(lambda: first.link.running == 1)
    task_id = first.link.turns[0][1].task_id
    real = first.stores.journal.renew
    alive = {lease.owner for lease in second.dispatcher.leases.all}

    async def renew(owner: str, *, ttl_s: float) -> None:
        if owner not in alive:  # whatever the first replica calls itself: its turns would be held again
            raise StoreUnavailable("cut off")
        await real(owner, ttl_s=ttl_s)

    first.stores.journal.renew = renew
    task = await second.ended(task_id)
    assert task.status is TaskStatus.SUCCEEDED
    assert task.fence >= 2
    assert first.link.cancelled == [task_id]
    # The client asked the first replica and is answered by it all the same.
    assert (await asked).status_code == 200


async def test_a_fenced_owner_stops_and_its_client_still_gets_the_answer(rig: Any) -> None:
    rig.link.hold()
    asked = asyncio.create_task(rig.ask())
    await eventually(lambda: rig.link.running == 1)
    task_id = rig.link.turns[0][1].task_id
    journal = rig.stores.journal
    await journal.renew("elsewhere", ttl_s=60)
    await journal.retire(rig.dispatcher.leases.current().owner)
    (task,) = await journal.claim(owner="elsewhere", limit=10)
    message = {"role": "assistant", "content": "From elsewhere."}
    outcome = Outcome(status=TaskStatus.SUCCEEDED, message=message, finish_reason="stop")
    await journal.finish(task_id, fence=task.fence, outcome=outcome)
    rig.link.let_go()
    answer = await asked
    assert answer.json()["choices"][0]["message"] == message
    assert (await rig.task(task_id)).outcome == outcome
    assert rig.context.core.metrics.fenced._value.get() == 1


async def test_a_run_that_is_stopped_before_its_first_step_gives_its_seat_back(rig: Any) -> None:
    accepted = await rig.call("POST", "/api/v1/tasks", {"input": "x"})
    run = rig.dispatcher.known(accepted.json()["id"])
    if run is not None:
        run.lose()
    await eventually(lambda: rig.dispatcher.running == 0)
    assert dict(rig.dispatcher.scheduler.inflight) == {}


async def test_shutdown_hands_running_tasks_to_the_others(open_rig: Any, pair: FakeFleet) -> None:
    first = await open_rig(fleet=pair, drain_s=0.0)
    first.link.hold()
    accepted = await first.call("POST", "/api/v1/tasks", {"input": "x"})
    task_id = accepted.json()["id"]
    await eventually(lambda: first.link.running == 1)
    second = await open_rig(stores=first.stores, fleet=pair)
    await first.dispatcher.stop(drain_s=0.0)
    task = await second.ended(task_id)
    assert task.status is TaskStatus.SUCCEEDED
    assert first.link.cancelled == [task_id]


async def test_a_stopping_gateway_takes_nothing_new(rig: Any) -> None:
    await rig.dispatcher.stop()
    assert (await rig.ask()).status_code == 503
    assert (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).status_code == 503
    assert (await rig.http.get("/health")).status_code == 503


async def test_a_task_that_lost_too_many_owners_fails(open_rig: Any) -> None:
    stores = MemoryStores()
    request = TaskRequest(messages=[{"role": "user", "content": "x"}])
    new = NewTask(id=new_task_id(), tenant="default", request=request)
    await stores.journal.accept(new, owner=None)
    for owner in ("one", "two"):
        await stores.journal.renew(owner, ttl_s=60)
        assert await stores.journal.claim(owner=owner, limit=1)
        await stores.journal.retire(owner)
    rig = await open_rig(stores=stores, max_attempts=2)
    task = await rig.ended(new.id)
    assert task.status is TaskStatus.FAILED
    assert task.outcome is not None and task.outcome.error is not None
    assert task.outcome.error.code == "agent_lost"
    assert rig.link.turns == []


async def test_a_bug_in_the_link_fails_the_task_and_nothing_else(rig: Any) -> None:
    rig.link.break_with(ZeroDivisionError("bug"))
    answer = await rig.ask()
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"]["message"]
    rig.link.break_with(None)
    assert (await rig.ask()).status_code == 200
    assert dict(rig.dispatcher.scheduler.inflight) == {}


async def test_nothing_runs_before_the_fleet_is_known(open_rig: Any, pair: FakeFleet) -> None:
    pair.hide()
    rig = await open_rig(fleet=pair)
    assert (await rig.ask()).status_code == 503
    accepted = await rig.call("POST", "/api/v1/tasks", {"input": "x"})
    assert accepted.status_code == 202
    assert accepted.json()["status"] == "queued"
    pair.show()
    assert (await rig.ended(accepted.json()["id"])).status is TaskStatus.SUCCEEDED
