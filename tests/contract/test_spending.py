"""What every store of spending promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ossa.contracts.budgets import Approval, Budget, Reservation, Spent, subjects_of
from ossa.contracts.stores import Stores
from ossa.contracts.task import Outcome, TaskStatus, Usage

pytestmark = pytest.mark.asyncio

USAGE = Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=40, saved_tokens=30, cost_usd=0.25, model_calls=2)


def ended(status: TaskStatus = TaskStatus.SUCCEEDED, **fields: Any) -> Outcome:
    known: dict[str, Any] = {"pool": "security", "manifest": "reviewer", "model": 'm"1\\', "tier": "premium"}
    message = {"role": "assistant", "content": "nul \x00 and \\u0000"}
    return Outcome(status=status, message=message, usage=USAGE, **{**known, **fields})


async def end(stores: Stores, made: Any, outcome: Outcome, tenant: str = "acme", **task: Any) -> str:
    await stores.journal.renew("a", ttl_s=30)
    new = made.task(tenant, **task)
    await stores.journal.accept(new, owner="a")
    await stores.journal.finish(new.id, fence=1, outcome=outcome, steps=task.get("steps", ()))
    return str(new.id)


async def rows(stores: Stores, tenant: str | None = None) -> list[Spent]:
    since = (datetime.now(UTC) - timedelta(days=1)).date()
    return await stores.spending.spending(since=since, tenant=tenant)


async def test_ended_tasks_are_added_up_by_what_they_have_in_common(stores: Stores, made: Any) -> None:
    await end(stores, made, ended())
    await end(stores, made, ended(TaskStatus.FAILED))
    await end(stores, made, ended(tier="standard"))
    found = {row.tier: row for row in await rows(stores)}
    dear = found["premium"]
    assert (dear.tenant, dear.pool, dear.manifest, dear.model) == ("acme", "security", "reviewer", 'm"1\\')
    assert (dear.tasks, dear.succeeded, dear.model_calls, dear.prompt_tokens) == (2, 1, 4, 200)
    assert (dear.completion_tokens, dear.cached_tokens, dear.saved_tokens, dear.cost_usd) == (20, 80, 60, 0.5)
    assert found["standard"].tasks == 1


async def test_a_repeated_finish_and_an_open_task_add_nothing(stores: Stores, made: Any) -> None:
    task = await end(stores, made, ended())
    await stores.journal.finish(task, fence=1, outcome=ended())
    await stores.journal.accept(made.task(), owner="a")
    assert [row.tasks for row in await rows(stores)] == [1]


async def test_a_cancelled_queued_task_is_a_task_too(stores: Stores, made: Any) -> None:
    new = made.task()
    await stores.journal.accept(new, owner=None)
    await stores.journal.request_cancel(new.id, tenant="acme")
    [row] = await rows(stores)
    assert (row.tasks, row.succeeded, row.pool, row.cost_usd) == (1, 0, "", 0.0)


async def test_a_count_beyond_reason_keeps_no_task_from_ending(stores: Stores, made: Any) -> None:
    usage = Usage(prompt_tokens=10**17, cost_usd=0.1, model_calls=1)
    await end(stores, made, ended().model_copy(update={"usage": usage}))
    await end(stores, made, ended())
    assert sum(row.tasks for row in await rows(stores)) == 2


async def test_a_tenant_sees_its_own_alone(stores: Stores, made: Any) -> None:
    await end(stores, made, ended())
    await end(stores, made, ended(), tenant="other")
    assert [row.tenant for row in await rows(stores, "other")] == ["other"]
    assert [facts.tenant for facts in await stores.spending.newest(limit=9, tenant="other")] == ["other"]


async def test_what_is_in_doubt_stands_apart_until_it_is_known(stores: Stores) -> None:
    await stores.budgets.put(Budget(owner="o", kind="tenant", name="acme", period="day", hard_usd=1.0))
    subjects = subjects_of(tenant="acme", pool="security", manifest="reviewer", task_id="task_1")
    await stores.budgets.reserve(Reservation(id="r", tenant="acme", subjects=subjects, least_usd=0.4, most_usd=0.4))
    await stores.budgets.settle("r", None)
    [row] = await rows(stores)
    assert (row.pool, row.manifest, row.tasks, row.in_doubt_usd) == ("security", "reviewer", 0, 0.4)
    await stores.budgets.settle("r", 0.1)
    assert sum(row.in_doubt_usd for row in await rows(stores)) == 0.0


async def test_the_newest_tasks_are_told_apart_by_their_questions(stores: Stores, made: Any) -> None:
    texts = ("same", "same", "another")
    ids = [await end(stores, made, ended(), text=text) for text in texts]
    found = await stores.spending.newest(limit=2)
    assert [facts.task_id for facts in found] == [ids[2], ids[1]]
    third, second, first = await stores.spending.newest(limit=9)
    assert first.question == second.question != third.question
    assert (first.pool, first.manifest, first.tier, first.cost_usd) == ("security", "reviewer", "premium", 0.25)
    assert (first.succeeded, first.asynchronous, first.given_earlier) == (True, False, False)


async def test_the_results_of_tools_are_counted_roughly(stores: Stores, made: Any) -> None:
    await stores.journal.renew("a", ttl_s=30)
    new = made.task()
    await stores.journal.accept(new, owner="a")
    result = made.step(0, "tool_result", call_id="c", name="read", content="x" * 4000, is_error=False)
    await stores.journal.finish(new.id, fence=1, outcome=ended(), steps=[result, made.step(1)])
    [facts] = await stores.spending.newest(limit=1)
    assert 1000 <= facts.tool_tokens <= 1150


async def test_an_approval_is_kept_once(stores: Stores) -> None:
    first = Approval(id="tier:a:b", kind="tier", subject="a", by="key_1", at=datetime.now(UTC), proposal={"n": 1})
    assert await stores.spending.approve(first)
    assert not await stores.spending.approve(first.model_copy(update={"by": "key_2"}))
    second = first.model_copy(update={"id": "cache", "at": first.at + timedelta(seconds=1)})
    assert await stores.spending.approve(second)
    assert await stores.spending.approvals() == [second, first]
