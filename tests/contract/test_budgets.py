"""What every budget store promises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ossa.contracts.budgets import MOST_CALL_USD, Balance, Budget, Reservation, subjects_of
from ossa.contracts.errors import BudgetExceeded, NotFound
from ossa.contracts.stores import Stores
from ossa.contracts.task import Step, Task, Usage

pytestmark = pytest.mark.asyncio


def budget(kind: Any = "tenant", name: str = "acme", *, hard: float = 1.0, **fields: Any) -> Budget:
    period = "task" if kind == "task" else "day"
    return Budget(**{"owner": "default", "kind": kind, "name": name, "period": period, "hard_usd": hard, **fields})


def asked(id: str = "r1", *, most: float = 0.4, least: float | None = None, **fields: Any) -> Reservation:
    tenant, task_id = fields.pop("tenant", "acme"), fields.get("task_id", "")
    subjects = subjects_of(tenant=tenant, pool="security", manifest="reviewer", task_id=task_id or "task_x")
    return Reservation(
        id=id, tenant=tenant, subjects=subjects, least_usd=most if least is None else least, most_usd=most, **fields
    )


async def balance(stores: Stores, wanted: Budget) -> Balance:
    return next(found for found in await stores.budgets.budgets() if found.budget.id == wanted.id)


async def amounts(stores: Stores, wanted: Budget) -> tuple[float, float, float]:
    found = await balance(stores, wanted)
    return found.spent_usd, found.reserved_usd, found.in_doubt_usd


async def running(stores: Stores, made: Any) -> Task:
    """A task whose owner `a` has a lease."""
    await stores.journal.renew("a", ttl_s=30)
    return (await stores.journal.accept(made.task(), owner="a")).task


def paid(made: Any, reservation: str, seq: int = 0) -> Step:
    step: Step = made.step(seq, message={"role": "assistant", "content": "nul \x00"}, reservation=reservation)
    return step


async def test_without_a_budget_everything_is_granted_and_nothing_counted(stores: Stores) -> None:
    grant = await stores.budgets.reserve(asked())
    assert (grant.usd, grant.counted) == (0.4, False)
    assert not await stores.budgets.settle("r1", 0.1)


async def test_a_reservation_is_taken_and_its_settlement_gives_the_rest_back(stores: Stores) -> None:
    await stores.budgets.put(budget())
    grant = await stores.budgets.reserve(asked())
    assert (grant.usd, grant.counted, grant.warnings) == (0.4, True, ())
    assert await amounts(stores, budget()) == (0.0, 0.4, 0.0)
    assert await stores.budgets.settle("r1", 0.15)
    assert await amounts(stores, budget()) == (0.15, 0.0, 0.0)


async def test_what_does_not_fit_is_refused_by_name_and_takes_nothing(stores: Stores) -> None:
    await stores.budgets.put(budget())
    await stores.budgets.put(budget("pool", "security", hard=0.5))
    await stores.budgets.reserve(asked("r1", most=0.4))
    await stores.budgets.settle("r1", 0.4)
    with pytest.raises(BudgetExceeded, match=r"pool:security/day of 0\.5 USD") as refused:
        await stores.budgets.reserve(asked("r2", most=0.2))
    assert refused.value.param == "budgets.pool:security/day"
    assert refused.value.retry_after_s is not None
    assert await amounts(stores, budget()) == (0.4, 0.0, 0.0)


async def test_others_reservations_in_the_way_are_worth_asking_again_soon(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=0.5))
    await stores.budgets.reserve(asked("r1"))
    with pytest.raises(BudgetExceeded) as refused:
        await stores.budgets.reserve(asked("r2"))
    assert refused.value.retry_after_s == 2.0


async def test_a_grant_shrinks_to_what_is_left_down_to_the_least(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=1.0))
    assert (await stores.budgets.reserve(asked("r1", most=0.7))).usd == 0.7
    assert (await stores.budgets.reserve(asked("r2", most=0.7, least=0.3))).usd == 0.3
    with pytest.raises(BudgetExceeded):
        await stores.budgets.reserve(asked("r3", most=0.7, least=0.001))


async def test_the_same_reservation_again_takes_nothing_more(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=0.5))
    again = [await stores.budgets.reserve(asked(most=0.4, least=0.1)) for _ in range(3)]
    assert {grant.usd for grant in again} == {0.4}
    assert all(grant.counted for grant in again)
    assert await amounts(stores, budget()) == (0.0, 0.4, 0.0)


async def test_settling_again_changes_nothing(stores: Stores) -> None:
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked())
    assert await stores.budgets.settle("r1", 0.1)
    assert not await stores.budgets.settle("r1", 0.3)
    assert not await stores.budgets.settle("r1", None)
    assert await amounts(stores, budget()) == (0.1, 0.0, 0.0)


async def test_an_unknown_cost_is_charged_in_full_and_kept_apart_until_it_is_known(stores: Stores) -> None:
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked())
    assert await stores.budgets.settle("r1", None)
    assert await amounts(stores, budget()) == (0.0, 0.0, 0.4)
    assert await stores.budgets.settle("r1", 0.25)
    assert await amounts(stores, budget()) == (0.25, 0.0, 0.0)


async def test_a_call_counts_in_every_budget_of_its_subjects_and_in_no_other(stores: Stores) -> None:
    task = "task_1"
    its = [
        budget(),
        budget(period="month"),
        budget("pool", "security"),
        budget("pool", "security", tenant="acme"),
        budget("agent", "reviewer"),
        budget("task", task),
    ]
    others = [
        budget(name="other"),
        budget("pool", "security", tenant="other"),
        budget("agent", "writer"),
        budget("task", "task_2"),
    ]
    for one in its + others:
        await stores.budgets.put(one)
    await stores.budgets.reserve(asked(task_id=task))
    found = {item.budget.id: item.reserved_usd for item in await stores.budgets.budgets()}
    assert found == {**{one.id: 0.4 for one in its}, **{one.id: 0.0 for one in others}}


async def test_a_budget_of_every_task_is_each_tasks_own(stores: Stores) -> None:
    await stores.budgets.put(budget("task", "*", hard=0.5))
    await stores.budgets.reserve(asked("r1", task_id="task_1"))
    await stores.budgets.reserve(asked("r2", task_id="task_2"))
    await stores.budgets.settle("r1", 0.4)
    with pytest.raises(BudgetExceeded) as refused:
        await stores.budgets.reserve(asked("r3", task_id="task_1"))
    assert refused.value.retry_after_s is None


async def test_above_the_soft_limit_is_warned_and_granted(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=1.0, soft_usd=0.5))
    assert (await stores.budgets.reserve(asked("r1"))).warnings == ()
    assert (await stores.budgets.reserve(asked("r2"))).warnings == (("tenant:acme/day", 0.8),)


async def test_a_budget_that_is_set_again_goes_on_with_what_was_spent(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=0.5))
    await stores.budgets.reserve(asked("r1"))
    await stores.budgets.settle("r1", 0.4)
    await stores.budgets.remove(budget().id)
    assert not (await stores.budgets.reserve(asked("r2"))).counted
    await stores.budgets.put(budget(hard=0.6))
    with pytest.raises(BudgetExceeded):
        await stores.budgets.reserve(asked("r3"))
    await stores.budgets.put(budget(hard=2.0))
    assert (await stores.budgets.reserve(asked("r3"))).counted


async def test_removing_what_is_not_there_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.budgets.remove(budget().id)


async def test_concurrent_reservations_never_pass_the_hard_limit(stores: Stores) -> None:
    await stores.budgets.put(budget(hard=1.0))
    await stores.budgets.put(budget("pool", "security", hard=1.2))
    wanted = [asked(f"r{number}", most=0.07) for number in range(60)]
    found = await asyncio.gather(*(stores.budgets.reserve(one) for one in wanted), return_exceptions=True)
    refused = [one for one in found if isinstance(one, BaseException)]
    assert all(isinstance(one, BudgetExceeded) for one in refused), refused
    assert len(found) - len(refused) == 14
    assert (await amounts(stores, budget()))[1] == pytest.approx(0.98)


async def test_reservations_and_settlements_of_crossing_budgets_do_not_lock_each_other_out(stores: Stores) -> None:
    for one in (budget(), budget("pool", "security"), budget("agent", "reviewer"), budget("task", "*")):
        await stores.budgets.put(one.model_copy(update={"hard_usd": 1000.0}))

    async def call(number: int) -> None:
        await stores.budgets.reserve(asked(f"r{number}", task_id=f"task_{number % 3}", ttl_s=60))
        await stores.budgets.settle(f"r{number}", 0.1)
        if number % 10 == 0:
            await stores.budgets.recover()

    await asyncio.gather(*(call(number) for number in range(100)))
    found = await amounts(stores, budget())
    assert found[1] == 0.0
    assert found[0] + found[2] >= 10.0


async def test_recovery_leaves_what_is_still_owned(stores: Stores, made: Any) -> None:
    task = await running(stores, made)
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked(task_id=task.id, fence=1))
    assert (await stores.budgets.recover()).in_doubt == 0
    assert await amounts(stores, budget()) == (0.0, 0.4, 0.0)


@pytest.mark.parametrize("end", ["lease", "fence", "finished"])
async def test_recovery_charges_in_full_what_nobody_will_settle(stores: Stores, made: Any, end: str) -> None:
    task = await running(stores, made)
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked(task_id=task.id, fence=1))
    if end == "finished":
        await stores.journal.finish(task.id, fence=1, outcome=made.outcome())
    else:
        await stores.journal.retire("a")
    if end == "fence":
        await stores.journal.renew("b", ttl_s=30)
        assert await stores.journal.claim(owner="b", limit=1)
    recovered = await stores.budgets.recover()
    assert (recovered.settled, recovered.in_doubt, recovered.in_doubt_usd) == (0, 1, 0.4)
    assert await amounts(stores, budget()) == (0.0, 0.0, 0.4)
    assert (await stores.budgets.recover()).in_doubt == 0


async def test_recovery_finds_in_the_journal_what_a_committed_call_cost(stores: Stores, made: Any) -> None:
    task = await running(stores, made)
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked("r1", task_id=task.id, fence=1))
    await stores.budgets.reserve(asked("r2", task_id=task.id, fence=1))
    await stores.journal.append(task.id, fence=1, steps=[paid(made, "r1")])
    await stores.journal.retire("a")
    recovered = await stores.budgets.recover()
    assert (recovered.settled, recovered.in_doubt) == (1, 1)
    assert await amounts(stores, budget()) == (0.25, 0.0, 0.4)


async def test_recovery_ends_a_reservation_whose_time_is_over(stores: Stores, made: Any) -> None:
    task = await running(stores, made)
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked(task_id=task.id, fence=1, ttl_s=0.001))
    await asyncio.sleep(0.01)
    assert (await stores.budgets.recover()).in_doubt == 1


async def test_recovery_by_many_at_once_counts_each_reservation_once(stores: Stores, made: Any) -> None:
    await stores.budgets.put(budget(hard=100.0))
    for number in range(30):
        await stores.budgets.reserve(asked(f"r{number}", task_id="task_gone", fence=1))
    found = await asyncio.gather(*(stores.budgets.recover() for _ in range(6)))
    assert sum(one.in_doubt for one in found) == 30
    assert await amounts(stores, budget()) == pytest.approx((0.0, 0.0, 12.0))


@pytest.mark.parametrize("claimed", [2.7e14, float("inf"), float("nan"), -3.0])
async def test_a_cost_beyond_reason_keeps_no_other_from_being_settled(stores: Stores, claimed: float) -> None:
    await stores.budgets.put(budget(hard=1e9))
    for name in ("r1", "r2", "r3"):
        await stores.budgets.reserve(asked(name))
    found = await asyncio.gather(*(stores.budgets.settle(n, c) for n, c in (("r1", 0.1), ("r2", claimed), ("r3", 0.1))))
    assert found == [True, True, True]
    most = MOST_CALL_USD if claimed > 0 else 0.0
    assert await amounts(stores, budget(hard=1e9)) == pytest.approx((0.2 + most, 0.0, 0.0))


async def test_nor_from_being_recovered_nor_its_task_from_ending(stores: Stores, made: Any) -> None:
    task = await running(stores, made)
    await stores.budgets.put(budget(hard=1e9))
    for name in ("r1", "r2"):
        await stores.budgets.reserve(asked(name, task_id=task.id, fence=1))
    usage = Usage(completion_tokens=18 * 10**18, cost_usd=2.7e14, model_calls=1)
    absurd = paid(made, "r1").model_copy(update={"usage": usage})
    outcome = made.outcome().model_copy(update={"usage": usage})
    await stores.journal.finish(
        task.id, fence=1, outcome=outcome, steps=[absurd, paid(made, "r2", 1)], usage_subjects=["tenant:acme"]
    )
    assert (await stores.budgets.recover()).settled == 2
    assert await amounts(stores, budget(hard=1e9)) == pytest.approx((0.25 + MOST_CALL_USD, 0.0, 0.0))
