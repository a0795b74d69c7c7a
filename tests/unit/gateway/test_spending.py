"""Money of a task: reserved by its owner, settled when the step is in the journal, in doubt when nobody knows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.budgets import Balance, Budget, Grant, Reservation
from ossa.contracts.errors import AgentLost, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import ErrorInfo, Outcome, Step, TaskStatus, Turn, Usage
from ossa.contracts.turn import CostRange, TurnCall, TurnResult
from ossa.gateway.extensions.spending import Spending
from ossa.testing.gateway import FakeFleet, FakeLink, eventually
from ossa.testing.stores import MemoryStores

LEAST, MOST, COST = 0.1, 0.4, 0.25


class SpendingLink(FakeLink):
    """Its agents reserve, call a model for `COST`, and end: as `ending` says."""

    def __init__(self, ending: str = "answer") -> None:
        super().__init__()
        self.ending = ending
        self.budgeted: list[bool] = []
        self.granted: list[float] = []

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: Any, on_steps: Any, on_call: Any = None
    ) -> TurnResult:
        self.budgeted.append(turn.budgeted)
        if not turn.budgeted:
            return await super().run(agent, turn, on_delta=on_delta, on_steps=on_steps)
        try:
            granted = await on_call(TurnCall(reserve=CostRange(least_usd=LEAST, most_usd=MOST)))
        except OssaError as error:
            info = ErrorInfo(
                code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s
            )
            return TurnResult(outcome=Outcome(status=TaskStatus.FAILED, error=info))
        self.granted.append(granted.granted_usd)
        ending, self.ending = self.ending, "answer"
        if ending == "die":
            raise AgentLost("the connection broke")
        if ending == "refused":
            await on_call(TurnCall(unused=granted.reservation))
        if ending in ("refused", "fail"):
            return TurnResult(
                outcome=Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="model_failed", message="no"))
            )
        if ending == "twice":
            first = self._answered(turn, agent, granted.reservation)
            await on_steps(first.steps)
            granted = await on_call(TurnCall(reserve=CostRange(least_usd=LEAST, most_usd=MOST)))
            turn = turn.model_copy(update={"steps": (*turn.steps, *first.steps)})
        return self._answered(turn, agent, granted.reservation)

    def _answered(self, turn: Turn, agent: AgentInfo, reservation: str) -> TurnResult:
        message = {"role": "assistant", "content": "Hello."}
        step = Step(
            seq=len(turn.steps),
            kind="model",
            agent_id=agent.agent_id,
            payload={"message": message, "finish_reason": "stop", "model": "m", "reservation": reservation},
            usage=Usage(prompt_tokens=5, completion_tokens=5, cost_usd=COST, model_calls=1),
            at=datetime.now(UTC),
        )
        outcome = Outcome(status=TaskStatus.SUCCEEDED, message=message, finish_reason="stop", usage=step.usage)
        return TurnResult(outcome=outcome, steps=(step,))


def budget(**fields: Any) -> Budget:
    known: dict[str, Any] = {"owner": "default", "kind": "tenant", "name": "default", "period": "day", "hard_usd": 1.0}
    return Budget(**{**known, **fields})


async def settled(stores: MemoryStores, *, spent: float = 0.0, in_doubt: float = 0.0) -> None:
    """Waits until exactly this is used and nothing is reserved."""

    async def look() -> bool:
        [found] = await stores.budgets.budgets()
        amounts = (found.spent_usd, found.reserved_usd, found.in_doubt_usd)
        return amounts == pytest.approx((spent, 0.0, in_doubt))

    await eventually(look)


async def with_budget(open_rig: Any, link: FakeLink, **fields: Any) -> Any:
    stores = MemoryStores()
    await stores.budgets.put(budget(**fields))
    fleet = FakeFleet.of({"intelligence": 2, "security": 2}, store=stores.fleet)
    return await open_rig(stores=stores, fleet=fleet, link=link)


async def test_a_turn_without_any_budget_reserves_nothing(open_rig: Any) -> None:
    link = SpendingLink()
    rig = await with_budget(open_rig, link, kind="pool", name="foundation")
    assert (await rig.ask()).status_code == 200
    await eventually(lambda: link.budgeted)
    assert link.budgeted == [False]


async def test_the_cost_of_a_committed_step_is_spent_and_the_rest_given_back(open_rig: Any) -> None:
    link = SpendingLink()
    rig = await with_budget(open_rig, link)
    assert (await rig.ask()).status_code == 200
    assert link.granted == [MOST]
    await settled(rig.stores, spent=COST)


async def test_each_call_of_a_turn_is_settled_by_its_own_step(open_rig: Any) -> None:
    rig = await with_budget(open_rig, SpendingLink("twice"))
    assert (await rig.ask()).status_code == 200
    await settled(rig.stores, spent=2 * COST)


async def test_a_call_that_a_budget_does_not_cover_is_a_429_that_says_which_and_for_how_long(open_rig: Any) -> None:
    rig = await with_budget(open_rig, SpendingLink(), hard_usd=0.05)
    answer = await rig.ask()
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "budget_exceeded"
    assert "tenant:default/day" in answer.json()["error"]["message"]
    assert int(answer.headers["retry-after"]) > 0
    await settled(rig.stores)


async def test_a_grant_is_what_is_left(open_rig: Any) -> None:
    link = SpendingLink()
    rig = await with_budget(open_rig, link, hard_usd=COST + 0.2)
    await rig.ask()
    await settled(rig.stores, spent=COST)
    await rig.ask()
    assert link.granted == [MOST, pytest.approx(0.2)]


async def test_above_the_soft_limit_the_answer_says_so(open_rig: Any) -> None:
    rig = await with_budget(open_rig, SpendingLink(), soft_usd=0.3)
    answer = await rig.ask()
    assert (answer.status_code, answer.headers["x-ossa-budget"]) == (200, "tenant:default/day=0.40")


async def test_an_agent_that_dies_in_a_call_leaves_a_doubt_and_the_next_one_its_own_cost(open_rig: Any) -> None:
    rig = await with_budget(open_rig, SpendingLink("die"))
    assert (await rig.ask()).status_code == 200
    await settled(rig.stores, spent=COST, in_doubt=MOST)


async def test_a_failed_call_is_in_doubt_and_a_refused_one_costs_nothing(open_rig: Any) -> None:
    failed = await with_budget(open_rig, SpendingLink("fail"))
    refused = await with_budget(open_rig, SpendingLink("refused"))
    await failed.ask()
    await refused.ask()
    await settled(failed.stores, in_doubt=MOST)
    await settled(refused.stores)


async def test_a_budget_that_is_set_is_felt_within_a_second(open_rig: Any) -> None:
    link = SpendingLink()
    stores = MemoryStores()
    rig = await open_rig(stores=stores, link=link)
    await stores.budgets.put(budget())

    async def felt() -> bool:
        await rig.ask()
        return link.budgeted[-1]

    await eventually(felt)


async def test_what_a_lost_replica_reserved_is_recovered_by_another(open_rig: Any) -> None:
    stores = MemoryStores()
    await stores.budgets.put(budget())
    link = HeldLink()
    first = await open_rig(stores=stores, link=link)
    asking = asyncio.create_task(first.ask())
    await eventually(lambda: link.granted)
    for lease in first.dispatcher.leases.all:  # as if its process had stopped: the lease ends, nothing more is written
        await stores.journal.retire(lease.owner)
    assert (await stores.budgets.recover()).in_doubt == 1
    [found] = await stores.budgets.budgets()
    assert (found.reserved_usd, found.in_doubt_usd) == (0.0, MOST)
    asking.cancel()


class HeldLink(SpendingLink):
    """Never answers after it has reserved."""

    def _answered(self, turn: Turn, agent: AgentInfo, reservation: str) -> TurnResult:
        raise NotImplementedError

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: Any, on_steps: Any, on_call: Any = None
    ) -> TurnResult:
        granted = await on_call(TurnCall(reserve=CostRange(least_usd=LEAST, most_usd=MOST)))
        self.granted.append(granted.granted_usd)
        await asyncio.Event().wait()
        raise AssertionError


def test_balances_say_what_is_left() -> None:
    assert Balance(budget=budget(), spent_usd=0.2, reserved_usd=0.3, in_doubt_usd=0.1).left_usd == pytest.approx(0.4)


@pytest.mark.parametrize("lands", ["before", "after"])
async def test_hanging_up_while_a_reservation_is_on_its_way_leaves_nothing_charged(open_rig: Any, lands: str) -> None:
    link = SpendingLink()
    rig = await with_budget(open_rig, link)
    real, inside, gate = rig.stores.budgets.reserve, asyncio.Event(), asyncio.Event()

    async def slow(asked: Reservation) -> Grant:
        grant: Grant | None = await real(asked) if lands == "before" else None
        inside.set()
        await gate.wait()
        late: Grant = grant or await real(asked)
        return late

    rig.stores.budgets.reserve = slow
    asking = asyncio.create_task(rig.ask())
    await inside.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    await eventually(lambda: not rig.dispatcher.running)
    settle, settled_with = rig.stores.budgets.settle, []

    async def seen(name: str, usd: float | None) -> bool:
        settled_with.append(usd)
        return bool(await settle(name, usd))

    rig.stores.budgets.settle = seen
    gate.set()
    await eventually(lambda: settled_with)
    assert (link.granted, settled_with) == ([], [0.0])
    await settled(rig.stores)


@pytest.mark.parametrize("lands", [True, False])
async def test_hanging_up_while_a_paid_step_is_written_settles_its_cost(open_rig: Any, lands: bool) -> None:
    rig = await with_budget(open_rig, SpendingLink("twice"))
    real, inside = rig.stores.journal.append, asyncio.Event()

    async def unheard(*args: Any, **named: Any) -> None:
        if lands:
            await real(*args, **named)
        inside.set()
        await asyncio.Event().wait()

    rig.stores.journal.append = unheard
    asking = asyncio.create_task(rig.ask())
    await inside.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    [task] = await rig.stores.journal.tasks(tenant="default")
    ended = await rig.ended(task.id)
    steps = await rig.stores.journal.steps(task.id)
    assert (ended.status, [step.kind for step in steps]) == (TaskStatus.CANCELLED, ["route", "model"])
    assert ended.outcome.usage == steps[1].usage
    await settled(rig.stores, spent=COST)


@pytest.mark.parametrize(("owner", "told"), [("operator", False), ("default", True)])
async def test_a_budget_that_a_tenant_may_not_list_is_not_told_to_it(open_rig: Any, owner: str, told: bool) -> None:
    stores = MemoryStores()
    shared = budget(kind="pool", name="security", owner=owner, hard_usd=0.05)
    await stores.budgets.put(shared)
    await stores.budgets.put(budget(kind="pool", name="security", owner="acme", tenant="acme", hard_usd=9))
    rig = await open_rig(stores=stores, link=SpendingLink(), fleet=FakeFleet.of({"security": 1}, store=stores.fleet))
    headers = await rig.key("default" if told else "acme")
    answer = await rig.ask(headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "budget_exceeded")
    assert ("pool:security" in answer.text, "0.05" in answer.text) == (told, told)
    assert error["param"] == ("budgets.pool:security/day" if told else "budgets")
    assert ("budget of the operator" in error["message"]) is not told


async def test_a_tenants_own_budget_is_told_to_it(open_rig: Any) -> None:
    stores = MemoryStores()
    await stores.budgets.put(budget(kind="pool", name="security", owner="acme", tenant="acme", hard_usd=0.05))
    await stores.budgets.put(budget(kind="pool", name="security", hard_usd=9))
    rig = await open_rig(stores=stores, link=SpendingLink(), fleet=FakeFleet.of({"security": 1}, store=stores.fleet))
    await rig.context.service(Spending, "spending").read()
    answer = await rig.ask(headers=await rig.key("acme"))
    assert answer.json()["error"]["param"] == "budgets.pool:security/day"


async def test_nor_is_its_soft_limit(open_rig: Any) -> None:
    rig = await with_budget(open_rig, SpendingLink(), kind="pool", name="intelligence", soft_usd=0.01)
    await rig.context.service(Spending, "spending").read()
    theirs = await rig.ask(model="pool/intelligence", headers=await rig.key("acme"))
    mine = await rig.ask(model="pool/intelligence")
    assert theirs.status_code == mine.status_code == 200
    assert "x-ossa-budget" not in theirs.headers
    assert "pool:intelligence/day" in mine.headers["x-ossa-budget"]
