"""A budget from end to end: gateway, channel, agent and a priced model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ossa.agent import AgentTurn, ToolRegistry
from ossa.channel import ChannelLink
from ossa.channel.server import ChannelServer
from ossa.contracts.agent_spec import AgentSpec, ModelPreference
from ossa.contracts.budgets import Balance, Budget
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.task import Assignment
from ossa.gateway.extensions.spending import Spending
from ossa.models.client import ModelClients
from ossa.testing.gateway import FakeFleet, eventually, fake_agent
from ossa.testing.models.server import ScriptedModelServer
from ossa.testing.stores import MemoryStores

ANSWER_TOKENS = 100


class Link(ChannelLink):
    """The real one; it holds nothing that would have to be let go."""

    def let_go(self) -> None:
        return


class Whole:
    """A gateway with one agent behind a real channel; its model costs a thousandth of a dollar a token of an answer."""

    def __init__(self, rig: Any, model: ScriptedModelServer) -> None:
        self.rig, self.model = rig, model

    async def ask(self, text: str = "[[long:100]]", **more: Any) -> Any:
        return await self.rig.ask(text, max_tokens=more.pop("max_tokens", ANSWER_TOKENS), **more)

    async def balance(self, budget: Budget) -> Balance:
        async def settled() -> Balance | None:
            for found in await self.rig.stores.budgets.budgets():
                if found.budget.id == budget.id and not found.reserved_usd:
                    return found
            return None

        found: Balance = await eventually(settled)
        return found


@pytest.fixture
async def whole(open_rig: Any) -> AsyncIterator[Whole]:
    async with ScriptedModelServer() as model:
        clients = ModelClients()
        endpoint = Endpoint(
            base_url=model.base_url, model="m", input_usd_per_mtok=0.0, output_usd_per_mtok=1000.0, max_retries=1
        )
        spec = AgentSpec(name="security-agent", dialect="ossa/v0.5.0", role="", model=ModelPreference())
        runner = AgentTurn(
            Assignment(agent_id="security-000", pool="security", spec=spec),
            models=Models(tiers={"standard": endpoint}),
            clients=clients,
            tools=ToolRegistry([]),
        )
        server = ChannelServer(token="token")
        server.set_runner(runner, slots=8, agent_id="security-000")
        stores = MemoryStores()
        fleet = FakeFleet([fake_agent("security-000", address=await server.start(), slots=8)], store=stores.fleet)
        rig = await open_rig(stores=stores, fleet=fleet, link=Link(lambda: "token"), busy_wait_s=5.0)
        yield Whole(rig, model)
        await server.close()
        await clients.close()


def budget(hard: float, **fields: Any) -> Budget:
    known: dict[str, Any] = {"owner": "default", "kind": "pool", "name": "security", "period": "day"}
    return Budget(**{**known, "hard_usd": hard, **fields})


async def put(whole: Whole, one: Budget) -> None:
    await whole.rig.stores.budgets.put(one)
    await whole.rig.context.service(Spending, "spending").read()


async def test_a_call_is_reserved_and_settled_by_what_the_model_says_it_used(whole: Whole) -> None:
    await put(whole, budget(1.0))
    answer = await whole.ask("[[long:40]]")
    assert answer.status_code == 200
    found = await whole.balance(budget(1.0))
    assert found.spent_usd == pytest.approx(answer.json()["usage"]["cost_usd"])
    assert found.spent_usd > 0
    assert found.in_doubt_usd == 0


async def test_a_budget_that_is_used_up_is_said_with_its_name_and_the_time_to_wait(whole: Whole) -> None:
    await put(whole, budget(0.01))
    answer = await whole.ask()
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "budget_exceeded"
    assert answer.json()["error"]["param"] == "budgets.pool:security/day"
    assert int(answer.headers["retry-after"]) > 0
    assert whole.model.counters.calls == 0


async def test_many_at_once_never_spend_more_than_there_is(whole: Whole) -> None:
    one = budget(0.55)
    await put(whole, one)
    answers = await asyncio.gather(*(whole.ask(f"[[long:{60 + n}]] {n}") for n in range(8)))
    assert {answer.status_code for answer in answers} == {200, 429}
    spent = sum(answer.json()["usage"]["cost_usd"] for answer in answers if answer.status_code == 200)
    found = await whole.balance(one)
    assert found.spent_usd == pytest.approx(spent)
    assert found.spent_usd <= 0.55


async def test_a_call_that_breaks_off_is_not_paid_twice_and_stays_in_doubt(whole: Whole) -> None:
    await put(whole, budget(1.0))
    answer = await whole.ask("[[cut:1]] [[long:30]]", stream=True)
    assert answer.status_code in (200, 502)
    found = await whole.balance(budget(1.0))
    assert whole.model.counters.calls == 1
    assert (found.spent_usd, found.in_doubt_usd) == (0.0, pytest.approx(0.1))


async def test_a_call_that_the_endpoint_refuses_costs_nothing(whole: Whole) -> None:
    await put(whole, budget(1.0))
    assert (await whole.ask("[[fail:503:5]]")).status_code == 502
    assert whole.model.counters.calls == 2
    found = await whole.balance(budget(1.0))
    assert (found.spent_usd, found.in_doubt_usd) == (0.0, 0.0)
