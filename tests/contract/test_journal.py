"""What `ossa.contracts.stores.Journal` promises, of every store."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest

from ossa.contracts.errors import Conflict, Fenced, IdempotencyConflict, InvalidRequest, NotFound
from ossa.contracts.stores import Journal
from ossa.contracts.task import Target, TaskRequest, TaskStatus, UsageToday

pytestmark = pytest.mark.asyncio


async def test_an_accepted_task_without_owner_is_queued_and_can_be_read_back(journal: Journal, made: Any) -> None:
    new = made.task()
    accepted = await journal.accept(new, owner=None)
    assert accepted.created
    assert accepted.task.status is TaskStatus.QUEUED
    assert (accepted.task.fence, accepted.task.attempts, accepted.task.owner) == (0, 0, None)
    assert await journal.get(new.id) == accepted.task
    assert accepted.task.request == new.request


async def test_an_accepted_task_with_owner_runs_under_fence_one(journal: Journal, made: Any) -> None:
    accepted = await journal.accept(made.task(), owner="a")
    task = accepted.task
    assert (task.status, task.fence, task.attempts, task.owner) == (TaskStatus.RUNNING, 1, 1, "a")
    assert await journal.get(task.id) == task


async def test_a_request_comes_back_exactly_with_odd_characters_and_numbers(journal: Journal, made: Any) -> None:
    new = made.task(text='nul \0, quote ", back \\, {brace}, 日本, \u2028, ' + "long " * 5000)
    new = new.model_copy(
        update={"request": TaskRequest(messages=new.request.messages, parameters={"z": 1, "a": [None, 1.5, True, {}]})}
    )
    await journal.accept(new, owner=None)
    task = await journal.get(new.id)
    assert task.request == new.request
    assert list(task.request.parameters) == ["z", "a"]


async def test_text_the_database_cannot_keep_is_refused_and_harms_nobody(journal: Journal, made: Any) -> None:
    good = [made.task() for _ in range(5)]
    bad = [made.task(tenant="a\0b"), made.task(key="\0"), made.task(tenant="\ud800"), made.task(text="\ud800")]
    results = await asyncio.gather(*(journal.accept(n, owner=None) for n in [*good, *bad]), return_exceptions=True)
    assert [getattr(r, "created", r) for r in results[:5]] == [True] * 5
    assert all(isinstance(r, InvalidRequest) for r in results[5:]), results[5:]


async def test_the_same_key_and_body_give_the_same_task(journal: Journal, made: Any) -> None:
    first = await journal.accept(made.task(key="k"), owner=None)
    second = await journal.accept(made.task(key="k"), owner="x")
    assert not second.created
    assert second.task == first.task


async def test_the_same_key_with_another_body_is_a_conflict(journal: Journal, made: Any) -> None:
    await journal.accept(made.task(key="k", body="one"), owner=None)
    with pytest.raises(IdempotencyConflict):
        await journal.accept(made.task(key="k", body="two"), owner=None)


async def test_tenants_may_use_the_same_key(journal: Journal, made: Any) -> None:
    assert (await journal.accept(made.task("acme", key="k"), owner=None)).created
    assert (await journal.accept(made.task("other", key="k"), owner=None)).created


async def test_twenty_concurrent_accepts_of_one_key_create_one_task(journal: Journal, made: Any) -> None:
    results = await asyncio.gather(*(journal.accept(made.task(key="race"), owner=None) for _ in range(20)))
    assert sum(r.created for r in results) == 1
    assert len({r.task.id for r in results}) == 1


async def test_accepting_an_id_again_creates_nothing(journal: Journal, made: Any) -> None:
    new = made.task()
    await journal.accept(new, owner=None)
    assert not (await journal.accept(new, owner=None)).created
    with pytest.raises(Conflict):
        await journal.accept(new.model_copy(update={"tenant": "thief"}), owner=None)
    assert await journal.count_open() == 1


async def test_claim_takes_the_oldest_queued_tasks_first(journal: Journal, made: Any) -> None:
    ids = [(await journal.accept(made.task(), owner=None)).task.id for _ in range(5)]
    await journal.renew("a", ttl_s=30)
    taken = await journal.claim(owner="a", limit=3)
    assert [t.id for t in taken] == ids[:3]
    assert {(t.status, t.fence, t.attempts, t.owner) for t in taken} == {(TaskStatus.RUNNING, 1, 1, "a")}
    assert await journal.get(ids[0]) == taken[0]
    assert [t.id for t in await journal.claim(owner="a", limit=3)] == ids[3:]
    assert await journal.claim(owner="a", limit=3) == []


async def test_claim_without_a_lease_is_a_conflict(journal: Journal, made: Any) -> None:
    await journal.accept(made.task(), owner=None)
    with pytest.raises(Conflict):
        await journal.claim(owner="nobody", limit=1)
    assert (await journal.tasks(tenant="acme"))[0].status is TaskStatus.QUEUED


async def test_concurrent_owners_never_get_the_same_task(journal: Journal, made: Any) -> None:
    await asyncio.gather(*(journal.accept(made.task(), owner=None) for _ in range(100)))
    owners = [f"owner-{n}" for n in range(4)]
    await asyncio.gather(*(journal.renew(owner, ttl_s=30) for owner in owners))

    async def take_all(owner: str) -> list[str]:
        taken: list[str] = []
        while found := await journal.claim(owner=owner, limit=7):
            taken += [task.id for task in found]
        return taken

    taken = [task_id for ids in await asyncio.gather(*map(take_all, owners)) for task_id in ids]
    # One that found the rest locked by others may stop early; what is left is still there, once.
    taken += await take_all(owners[0])
    assert len(taken) == len(set(taken)) == 100


async def test_a_task_whose_owners_lease_ended_is_claimed_under_a_higher_fence(journal: Journal, made: Any) -> None:
    await journal.renew("old", ttl_s=0.2)
    task = (await journal.accept(made.task(), owner="old")).task
    await journal.renew("new", ttl_s=30)
    deadline = time.monotonic() + 10
    while not (taken := await journal.claim(owner="new", limit=10)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert [(t.id, t.fence, t.attempts, t.owner) for t in taken] == [(task.id, 2, 2, "new")]


async def test_a_living_owners_task_is_not_claimed(journal: Journal, made: Any) -> None:
    await journal.renew("old", ttl_s=30)
    await journal.renew("new", ttl_s=30)
    await journal.accept(made.task(), owner="old")
    assert await journal.claim(owner="new", limit=10) == []


async def test_retiring_makes_the_tasks_claimable_at_once(journal: Journal, made: Any) -> None:
    await journal.renew("old", ttl_s=3600)
    await journal.renew("new", ttl_s=30)
    task = (await journal.accept(made.task(), owner="old")).task
    await journal.retire("old")
    assert [t.id for t in await journal.claim(owner="new", limit=10)] == [task.id]


async def test_every_write_under_an_old_fence_is_fenced(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="gone")).task
    await journal.renew("new", ttl_s=30)
    await journal.claim(owner="new", limit=1)
    with pytest.raises(Fenced):
        await journal.append(task.id, fence=1, steps=[made.step(0)])
    with pytest.raises(Fenced):
        await journal.finish(task.id, fence=1, outcome=made.outcome(), usage_subjects=["tenant:acme"])
    with pytest.raises(Fenced):
        await journal.release(task.id, fence=1)
    assert await journal.steps(task.id) == []
    assert await journal.usage_today("tenant:acme") == UsageToday()
    await journal.finish(task.id, fence=2, outcome=made.outcome())
    with pytest.raises(Fenced):
        await journal.finish(task.id, fence=1, outcome=made.outcome())


async def test_writes_to_an_unknown_task_are_not_found(journal: Journal, made: Any) -> None:
    for write in (
        journal.append("task_none", fence=1, steps=[made.step(0)]),
        journal.finish("task_none", fence=1, outcome=made.outcome()),
        journal.release("task_none", fence=1),
        journal.request_cancel("task_none", tenant="acme"),
        journal.get("task_none"),
    ):
        with pytest.raises(NotFound):
            await write


async def test_steps_come_back_in_order_and_exactly(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    steps = [made.step(0), made.step(1, "tool_call", call_id="c", name="n", arguments="{}\0"), made.step(2)]
    await journal.append(task.id, fence=1, steps=steps[:2], agent_id="foundation-001")
    await journal.append(task.id, fence=1, steps=steps[2:])
    assert await journal.steps(task.id) == steps
    assert await journal.steps(task.id, after=1) == steps[2:]
    assert await journal.steps(task.id, after=2) == []


async def test_appending_the_same_steps_again_is_a_no_op(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    steps = [made.step(0), made.step(1), made.step(2)]
    await journal.append(task.id, fence=1, steps=steps[:2])
    await journal.append(task.id, fence=1, steps=steps[:2])
    await journal.append(task.id, fence=1, steps=steps)  # two known, one new
    assert await journal.steps(task.id) == steps
    await journal.append(task.id, fence=1, steps=[])


async def test_a_gap_or_another_kind_is_a_conflict(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    await journal.append(task.id, fence=1, steps=[made.step(0)])
    with pytest.raises(Conflict):
        await journal.append(task.id, fence=1, steps=[made.step(2)])
    with pytest.raises(Conflict):
        await journal.append(task.id, fence=1, steps=[made.step(1), made.step(3)])
    with pytest.raises(Conflict):
        await journal.append(task.id, fence=1, steps=[made.step(0, "tool_call", call_id="c")])
    with pytest.raises(Conflict):
        await journal.finish(task.id, fence=1, outcome=made.outcome(), steps=[made.step(5)])
    assert [s.seq for s in await journal.steps(task.id)] == [0]
    assert (await journal.get(task.id)).status is TaskStatus.RUNNING


async def test_a_step_of_an_earlier_owner_is_not_taken_for_a_retry(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="gone")).task
    await journal.append(task.id, fence=1, steps=[made.step(0)])
    await journal.renew("new", ttl_s=30)
    await journal.claim(owner="new", limit=1)
    with pytest.raises(Conflict):
        await journal.append(task.id, fence=2, steps=[made.step(0)])
    await journal.append(task.id, fence=2, steps=[made.step(1, "takeover", from_agent="x", reason="lost")])


async def test_finish_writes_steps_outcome_and_usage_together(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    subjects = ["tenant:acme", "manifest:m"]
    outcome = made.outcome(tokens=99, cost=0.125)
    await journal.finish(task.id, fence=1, outcome=outcome, steps=[made.step(0)], usage_subjects=subjects)
    done = await journal.get(task.id)
    assert (done.status, done.outcome) == (TaskStatus.SUCCEEDED, outcome)
    assert done.finished_at is not None
    assert done.finished_at >= done.created_at
    assert (done.owner, done.fence) == ("a", 1)
    assert await journal.steps(task.id) == [made.step(0)]
    for subject in subjects:
        assert await journal.usage_today(subject) == UsageToday(tokens=100, cost_usd=0.125)
    assert await journal.usage_today("tenant:other") == UsageToday()


async def test_an_answer_is_kept_once_and_its_step_comes_back_whole(
    journal: Journal, dsn: str | None, made: Any
) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    outcome = made.outcome()
    payload = {"message": outcome.message, "finish_reason": "stop", "model": "m"}
    steps = [made.step(0), made.step(1, **payload)]
    await journal.finish(task.id, fence=1, outcome=outcome, steps=steps)
    assert await journal.steps(task.id) == await journal.steps(task.id, tenant="acme") == steps
    assert await journal.steps(task.id, after=0) == steps[1:]
    assert await journal.steps(task.id, tenant="other") == []
    assert list((await journal.steps(task.id))[1].payload) == list(payload)
    if dsn is not None:
        with psycopg.connect(dsn) as conn:
            bodies = conn.execute("SELECT body FROM ossa.steps ORDER BY seq").fetchall()
        assert ["message" in body for (body,) in bodies] == [True, False]


async def test_a_failed_tasks_last_step_keeps_its_message(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    outcome = made.outcome(TaskStatus.FAILED).model_copy(update={"message": None})
    await journal.finish(task.id, fence=1, outcome=outcome, steps=[made.step(0)])
    assert await journal.steps(task.id) == [made.step(0)]


async def test_a_step_written_whole_by_an_earlier_version_is_read_as_it_is(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    outcome = made.outcome()
    step = made.step(0, message=outcome.message, finish_reason="stop", model="m")
    await journal.append(task.id, fence=1, steps=[step])
    await journal.finish(task.id, fence=1, outcome=outcome, steps=[step])
    assert await journal.steps(task.id) == [step]


async def test_finishing_again_is_a_no_op_and_counts_usage_once(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    for _ in range(3):
        await journal.finish(
            task.id, fence=1, outcome=made.outcome(), steps=[made.step(0)], usage_subjects=["tenant:acme"]
        )
    assert (await journal.usage_today("tenant:acme")).tokens == 11
    with pytest.raises(Conflict):
        await journal.finish(task.id, fence=1, outcome=made.outcome(TaskStatus.FAILED))
    assert (await journal.get(task.id)).status is TaskStatus.SUCCEEDED


async def test_an_ended_task_takes_no_new_steps_but_a_late_retry(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    await journal.append(task.id, fence=1, steps=[made.step(0)])
    await journal.finish(task.id, fence=1, outcome=made.outcome(TaskStatus.FAILED))
    await journal.append(task.id, fence=1, steps=[made.step(0)])
    with pytest.raises(Conflict):
        await journal.append(task.id, fence=1, steps=[made.step(1)])
    with pytest.raises(Fenced):
        await journal.release(task.id, fence=1)


async def test_usage_of_many_concurrent_finishes_adds_up(journal: Journal, made: Any) -> None:
    tasks = [r.task for r in await asyncio.gather(*(journal.accept(made.task(), owner="a") for _ in range(60)))]
    await asyncio.gather(
        *(
            journal.finish(t.id, fence=1, outcome=made.outcome(), usage_subjects=["tenant:acme", f"manifest:{n % 3}"])
            for n, t in enumerate(tasks)
        )
    )
    assert await journal.usage_today("tenant:acme") == UsageToday(tokens=660, cost_usd=30.0)
    assert (await journal.usage_today("manifest:0")).tokens == 220


async def test_only_an_end_finishes_a_task(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    with pytest.raises(InvalidRequest):
        await journal.finish(task.id, fence=1, outcome=made.outcome(TaskStatus.QUEUED))


async def test_a_released_task_is_queued_and_the_attempt_does_not_count(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    await journal.release(task.id, fence=1)
    await journal.release(task.id, fence=1)
    released = await journal.get(task.id)
    assert (released.status, released.owner, released.attempts) == (TaskStatus.QUEUED, None, 0)
    with pytest.raises(Fenced):
        await journal.append(task.id, fence=1, steps=[made.step(0)])
    with pytest.raises(Fenced):
        await journal.finish(task.id, fence=1, outcome=made.outcome())
    await journal.renew("b", ttl_s=30)
    again = (await journal.claim(owner="b", limit=1))[0]
    assert (again.fence, again.attempts) == (2, 1)


async def test_cancelling_a_queued_task_ends_it_at_once(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner=None)).task
    ended = await journal.request_cancel(task.id, tenant="acme")
    assert (ended.status, ended.cancel_requested) == (TaskStatus.CANCELLED, True)
    assert ended.outcome is not None
    assert ended.outcome.status is TaskStatus.CANCELLED
    assert ended.finished_at is not None
    await journal.renew("a", ttl_s=30)
    assert await journal.claim(owner="a", limit=1) == []
    assert await journal.request_cancel(task.id, tenant="acme") == ended


async def test_cancelling_a_running_task_tells_its_owner(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    other = (await journal.accept(made.task(), owner="b")).task
    asked = await journal.request_cancel(task.id, tenant="acme")
    assert (asked.status, asked.cancel_requested) == (TaskStatus.RUNNING, True)
    assert await journal.cancel_requests("a") == [task.id]
    assert await journal.cancel_requests("b") == []
    await journal.finish(task.id, fence=1, outcome=made.outcome(TaskStatus.CANCELLED))
    assert await journal.cancel_requests("a") == []
    await journal.finish(other.id, fence=1, outcome=made.outcome())
    assert (await journal.request_cancel(other.id, tenant="acme")).status is TaskStatus.SUCCEEDED


async def test_one_tenant_never_sees_anothers_task(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task("acme"), owner=None)).task
    worked = (await journal.accept(made.task("acme"), owner="a")).task
    await journal.append(worked.id, fence=1, steps=[made.step(0)])
    assert await journal.steps(worked.id, tenant="other") == []
    assert len(await journal.steps(worked.id, tenant="acme")) == len(await journal.steps(worked.id)) == 1
    with pytest.raises(NotFound):
        await journal.get(task.id, tenant="other")
    with pytest.raises(NotFound):
        await journal.request_cancel(task.id, tenant="other")
    assert await journal.tasks(tenant="other") == []
    assert await journal.count_open(tenant="other") == 0
    assert (await journal.get(task.id, tenant="acme")).status is TaskStatus.QUEUED


async def test_tasks_are_listed_newest_first_by_page_and_by_status(journal: Journal, made: Any) -> None:
    ids = [(await journal.accept(made.task(), owner="a")).task.id for _ in range(6)]
    await journal.accept(made.task("other"), owner="a")
    await journal.finish(ids[0], fence=1, outcome=made.outcome())
    await journal.finish(ids[1], fence=1, outcome=made.outcome(TaskStatus.FAILED))
    await journal.release(ids[2], fence=1)
    await journal.request_cancel(ids[2], tenant="acme")
    await journal.release(ids[3], fence=1)
    newest = list(reversed(ids))
    assert [t.id for t in await journal.tasks(tenant="acme")] == newest
    assert [t.id for t in await journal.tasks(tenant="acme", limit=2)] == newest[:2]
    assert [t.id for t in await journal.tasks(tenant="acme", limit=2, before=newest[1])] == newest[2:4]
    by_status = {status: [t.id for t in await journal.tasks(tenant="acme", status=status)] for status in TaskStatus}
    assert by_status == {
        TaskStatus.QUEUED: [ids[3]],
        TaskStatus.RUNNING: [ids[5], ids[4]],
        TaskStatus.SUCCEEDED: [ids[0]],
        TaskStatus.FAILED: [ids[1]],
        TaskStatus.CANCELLED: [ids[2]],
    }
    assert await journal.tasks(tenant="acme", status=TaskStatus.RUNNING, before=ids[4]) == []
    assert await journal.tasks(tenant="acme", status=TaskStatus.FAILED, before=ids[1]) == []


async def test_open_tasks_are_counted_by_tenant(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    await journal.accept(made.task(), owner=None)
    await journal.accept(made.task("other"), owner=None)
    assert (await journal.count_open(), await journal.count_open(tenant="acme")) == (3, 2)
    await journal.finish(task.id, fence=1, outcome=made.outcome())
    assert await journal.count_open(tenant="acme") == 1


ODD = 'od"d\\ {}, 日\u2028'


async def test_what_nobody_has_is_counted_by_target_whatever_its_name_and_length(journal: Journal, made: Any) -> None:
    targets = [Target(), Target(kind="pool", name="security"), Target(kind="agent", name=ODD), Target()]
    for target in targets:
        new = made.task(text="long " * 5000)
        await journal.accept(
            new.model_copy(update={"request": new.request.model_copy(update={"target": target})}), owner=None
        )
    await journal.renew("a", ttl_s=30)
    await journal.accept(made.task(), owner="a")
    await journal.accept(made.task(), owner="dead")
    found = {str(one.target): one.tasks for one in await journal.backlog(owners=["a"])}
    assert found == {"auto": 3, "pool/security": 1, f"agent/{ODD}": 1}
    assert await journal.claim(owner="a", limit=5)
    assert await journal.backlog(owners=["a"]) == []


async def test_of_many_replicas_one_is_told_what_nobody_has(journal: Journal, made: Any) -> None:
    await journal.accept(made.task(), owner=None)
    assert await journal.backlog(owners=["a"]) == []
    for owner in ("a-1", "B-2", "b-1"):
        await journal.renew(owner, ttl_s=30)
    told = [owner for owner in ("a-1", "B-2", "b-1") if await journal.backlog(owners=["none", owner])]
    assert told == ["B-2"]
    await journal.retire("B-2")
    told = [owner for owner in ("a-1", "B-2", "b-1") if await journal.backlog(owners=[owner])]
    assert told == ["a-1"]


async def test_a_cancelled_caller_harms_no_other_in_its_batch(journal: Journal, made: Any) -> None:
    calls = [asyncio.ensure_future(journal.accept(made.task(), owner=None)) for _ in range(40)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    kept = [r for n, r in enumerate(results) if n % 3]
    assert all(getattr(r, "created", False) for r in kept), kept
    for accepted in kept:
        assert (await journal.get(accepted.task.id)).status is TaskStatus.QUEUED


async def test_mixed_writes_in_one_batch_each_get_their_own_answer(journal: Journal, made: Any) -> None:
    tasks = [r.task for r in await asyncio.gather(*(journal.accept(made.task(), owner="a") for _ in range(6)))]
    results = await asyncio.gather(
        journal.append(tasks[0].id, fence=1, steps=[made.step(0)]),
        journal.append(tasks[1].id, fence=9, steps=[made.step(0)]),
        journal.append(tasks[2].id, fence=1, steps=[made.step(4)]),
        journal.finish(tasks[3].id, fence=1, outcome=made.outcome(), usage_subjects=["tenant:acme"]),
        journal.finish(tasks[4].id, fence=7, outcome=made.outcome(), usage_subjects=["tenant:acme"]),
        journal.finish("task_none", fence=1, outcome=made.outcome(), usage_subjects=["tenant:acme"]),
        journal.release(tasks[5].id, fence=1),
        journal.accept(made.task(key="k"), owner="a"),
        return_exceptions=True,
    )
    assert [type(r) for r in results[:7]] == [
        type(None), Fenced, Conflict, type(None), Fenced, NotFound, type(None),
    ]  # fmt: skip
    assert getattr(results[7], "created", False)
    assert (await journal.usage_today("tenant:acme")).tokens == 11
    assert await journal.steps(tasks[4].id) == []


async def test_writes_of_one_task_keep_their_order(journal: Journal, made: Any) -> None:
    task = (await journal.accept(made.task(), owner="a")).task
    await asyncio.gather(
        *(journal.append(task.id, fence=1, steps=[made.step(n)]) for n in range(30)),
        journal.finish(task.id, fence=1, outcome=made.outcome(), steps=[made.step(30)]),
    )
    assert [s.seq for s in await journal.steps(task.id)] == list(range(31))


async def test_ping_answers(journal: Journal) -> None:
    await journal.ping()
