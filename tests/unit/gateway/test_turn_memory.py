"""The tools `remember` and `recall`, from an agent's call to the memory of the task's tenant."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.agent.tools import ToolContext, builtin_tool
from ossa.contracts.errors import InvalidRequest, NotReady
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.gateway.extensions.memory import answer_from_memory
from tests.unit.memory.worlds import World


def context(world: World, tenant: str, key: str = "k") -> ToolContext:
    memory = world.process()

    async def ask(asked: TurnCall) -> TurnCallResult:
        over_the_wire = TurnCall.model_validate_json(asked.model_dump_json())
        return TurnCallResult(memories=await answer_from_memory(memory, over_the_wire, tenant=tenant))

    return ToolContext(task_id="task_1", tenant=tenant, agent_id="a", idempotency_key=key, ask=ask)


async def call(name: str, **arguments: Any) -> Any:
    return await builtin_tool(name).call(**arguments)


async def test_what_one_turn_remembers_a_later_one_recalls_and_no_other_tenant() -> None:
    world = World()
    await call("remember", content="my cat", about="anna", context=context(world, "acme", "k1"))
    await call("remember", content="my dog", context=context(world, "acme", "k2"))
    mine = context(world, "acme")
    assert [one["content"] for one in await call("recall", text="cat", limit=1, context=mine)] == ["my cat"]
    assert [one["content"] for one in await call("recall", context=mine)] == ["my dog", "my cat"]
    assert [one["about"] for one in await call("recall", about="anna", context=mine)] == ["anna"]
    assert await call("recall", context=context(world, "other")) == []


async def test_a_call_that_is_run_again_remembers_once() -> None:
    world = World()
    for _ in range(2):
        await call("remember", content="my cat", context=context(world, "acme", "same"))
    assert len(await call("recall", context=context(world, "acme"))) == 1


async def test_what_cannot_be_remembered_is_told_to_the_model() -> None:
    with pytest.raises(InvalidRequest, match="kind"):
        await call("remember", content="cat", kind="No Kind", context=context(World(), "acme"))


async def test_a_gateway_without_memory_says_so() -> None:
    with pytest.raises(NotReady):
        await answer_from_memory(None, TurnCall(recall={}), tenant="acme")
