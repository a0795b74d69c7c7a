"""Which model a turn asks: its owner's choice, and a dearer one where a cheaper one's answer does not hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ossa.agent import AgentTurn, ToolRegistry, tool
from ossa.agent.cascade import rejection_reason
from ossa.contracts.agent_spec import AgentSpec, ToolRef
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import ModelFailed, ModelRejected, NotReady, OssaError, TimedOut
from ossa.contracts.task import Assignment, TaskRequest, TaskStatus, Turn
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel, tool_call
from tests.support.clock import ManualClock

MODELS = Models(
    tiers={
        "lightweight": Endpoint(base_url="http://scripted/v1", model="small", input_usd_per_mtok=1.0),
        "standard": Endpoint(base_url="http://scripted/v1", model="middle", input_usd_per_mtok=10.0),
        "premium": Endpoint(base_url="http://scripted/v1", model="large", input_usd_per_mtok=100.0),
    }
)
CASCADE = ("lightweight", "standard", "premium")
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def runner(
    tools: ToolRegistry | None = None, clock: ManualClock | None = None, **answers: Any
) -> tuple[AgentTurn, dict[str, ScriptedModel]]:
    scripted = {name: ScriptedModel([_message(one) for one in answers.get(name, ())]) for name in MODEL_NAMES}
    registry = tools if tools is not None else ToolRegistry([])
    refs = tuple(ToolRef(name=name) for name in registry.names)
    spec = AgentSpec(name="helper", dialect="ossa/v0.5.0", tools=refs)
    assignment = Assignment(agent_id="foundation-001", pool="foundation", spec=spec)
    made = AgentTurn(
        assignment,
        models=MODELS,
        clients=lambda endpoint: scripted[endpoint.model],
        tools=registry,
        clock=clock or ManualClock(),
    )
    return made, scripted


MODEL_NAMES = ("small", "middle", "large")


def _message(answer: Any) -> Any:
    return {"role": "assistant", "content": answer} if isinstance(answer, str) else answer


def turn(**changes: Any) -> Turn:
    request = TaskRequest(
        messages=[{"role": "user", "content": "hi"}],
        parameters=changes.pop("parameters", {}),
        timeout_s=changes.pop("timeout_s", None),
    )
    return Turn(task_id="task_1", tenant="acme", request=request, **changes)


async def test_the_owners_tier_is_asked() -> None:
    agent, scripted = runner()
    result = await agent.run(turn(tier="premium"), RecordingSink())
    assert (result.outcome.tier, result.outcome.model) == ("premium", "large")
    assert not scripted["middle"].requests


async def test_a_tier_that_is_not_there_leaves_the_agents_own() -> None:
    agent, _ = runner()
    result = await agent.run(turn(tier="specialized"), RecordingSink())
    assert result.outcome.tier == "standard"


async def test_a_good_answer_of_the_cheapest_is_the_end_of_it() -> None:
    agent, scripted = runner()
    result = await agent.run(turn(cascade=CASCADE, tier="premium"), RecordingSink())
    assert result.outcome.tier == "lightweight"
    assert not scripted["middle"].requests
    assert result.outcome.usage.model_calls == 1


async def test_an_answer_that_does_not_hold_is_kept_paid_and_replaced() -> None:
    agent, _ = runner(small=["I don't know."], middle=["It is 7."])
    sink = RecordingSink()
    result = await agent.run(turn(cascade=CASCADE, tier="premium"), sink)
    assert result.outcome.message == {"role": "assistant", "content": "It is 7."}
    assert (result.outcome.tier, result.outcome.usage.model_calls) == ("standard", 2)
    assert [step.payload.get("rejected") for step in (*sink.steps, *result.steps)] == ["gave up", None]


async def test_a_turn_taken_over_does_not_ask_the_rejected_model_again() -> None:
    agent, _ = runner(small=["I don't know."], middle=["It is 7."])
    sink = RecordingSink()
    await agent.run(turn(cascade=CASCADE), sink)
    successor, scripted = runner(middle=["It is 7."])
    result = await successor.run(turn(cascade=CASCADE, steps=tuple(sink.steps)), RecordingSink())
    assert result.outcome.tier == "standard"
    assert not scripted["small"].requests


async def test_the_last_ones_answer_is_given_whatever_it_says() -> None:
    agent, _ = runner(small=["I don't know."], middle=["I'm not sure."])
    result = await agent.run(turn(cascade=CASCADE[:2]), RecordingSink())
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert result.outcome.message == {"role": "assistant", "content": "I'm not sure."}


async def test_where_the_dearer_model_fails_the_cheaper_ones_answer_is_better_than_none() -> None:
    agent, _ = runner(small=["I'm not sure, perhaps 7."], middle=[ModelFailed("gone")])
    result = await agent.run(turn(cascade=CASCADE[:2]), RecordingSink())
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert result.outcome.message == {"role": "assistant", "content": "I'm not sure, perhaps 7."}
    assert result.outcome.usage.model_calls == 1


async def test_a_model_that_fails_is_gone_past() -> None:
    agent, _ = runner(small=[ModelFailed("gone")])
    result = await agent.run(turn(cascade=CASCADE), RecordingSink())
    assert (result.outcome.status, result.outcome.tier) == (TaskStatus.SUCCEEDED, "standard")


async def test_a_stream_hears_nothing_that_is_replaced() -> None:
    agent, _ = runner(small=["I don't know."], middle=["It is 7."])
    sink = RecordingSink()
    result = await agent.run(turn(cascade=CASCADE[:2], stream=True), sink)
    assert "know" not in "".join(sink.deltas)
    assert result.outcome.message == {"role": "assistant", "content": "It is 7."}


@pytest.mark.parametrize("error", [ModelRejected("too long"), NotReady("down"), TimedOut("slow"), ModelFailed("gone")])
async def test_whatever_keeps_the_cheaper_one_from_answering_the_dearer_one_is_asked(error: OssaError) -> None:
    agent, _ = runner(small=[error])
    result = await agent.run(turn(cascade=CASCADE[:2]), RecordingSink())
    assert (result.outcome.status, result.outcome.tier) == (TaskStatus.SUCCEEDED, "standard")


async def test_a_model_that_hangs_leaves_time_for_the_next_one() -> None:
    clock = ManualClock()
    agent, scripted = runner(clock=clock)
    scripted["small"].hold()
    task = asyncio.create_task(agent.run(turn(cascade=CASCADE[:2], timeout_s=6), RecordingSink()))
    await clock.waiting()
    clock.advance(3)
    result = await task
    assert (result.outcome.status, result.outcome.tier) == (TaskStatus.SUCCEEDED, "standard")
    assert result.outcome.failed_tiers == ("lightweight",)


async def test_an_answer_taken_back_is_the_cheaper_tiers_and_the_dearer_one_is_told_as_failed() -> None:
    agent, _ = runner(small=["I'm not sure, perhaps 7."], middle=[ModelFailed("gone")])
    result = await agent.run(turn(cascade=CASCADE[:2]), RecordingSink())
    assert (result.outcome.tier, result.outcome.model) == ("lightweight", "small")
    assert result.outcome.failed_tiers == ("standard",)


async def test_an_answer_from_before_a_tool_ran_is_not_taken_back() -> None:
    paid: list[int] = []

    @tool(effects="idempotent")
    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    small, middle = "I cannot help with that.", [tool_call("pay", '{"amount": 1}'), ModelFailed("gone")]
    agent, _ = runner(ToolRegistry([pay]), small=[small], middle=middle)
    result = await agent.run(turn(cascade=CASCADE[:2]), RecordingSink())
    assert paid == [1]
    assert result.outcome.status is TaskStatus.FAILED


async def test_a_check_that_breaks_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("oh")

    monkeypatch.setattr("ossa.agent.turn.rejection_reason", broken)
    agent, _ = runner(small=["It is 7."])
    result = await agent.run(turn(cascade=CASCADE), RecordingSink())
    assert result.outcome.message == {"role": "assistant", "content": "It is 7."}
    assert result.outcome.usage.model_calls == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/latest/meta-data"},
        {"type": "string", "pattern": "^(a+)+$"},
        {"allOf": [{"$ref": "#"}]},
        {"properties": {"n": {"$ref": "#"}}, "required": "n"},
        {"enum": 7, "items": 3, "type": {"a": 1}},
    ],
)
def test_what_a_callers_schema_may_not_do_is_not_done(schema: dict[str, Any]) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = {"role": "assistant", "content": json.dumps("a" * 40 + "!")}
    assert rejection_reason(answer, "stop", {"response_format": form}) == ""


def test_deep_json_is_an_answer_that_does_not_hold() -> None:
    deep = {"role": "assistant", "content": "[" * 100_000}
    assert rejection_reason(deep, "stop", {"response_format": {"type": "json_object"}}) == "no JSON"


@pytest.mark.parametrize(
    ("content", "parameters", "why"),
    [
        ("", {}, "empty"),
        ("I cannot help with that.", {}, "gave up"),
        ("I'm sorry, but I don't have access to that.", {}, "gave up"),
        ("Paris. I don't know of a nicer city.", {}, ""),
        ("Paris", {}, ""),
        ("not json", {"response_format": {"type": "json_object"}}, "no JSON"),
        ('{"n": "x"}', {"response_format": FORM}, "not of the schema"),
        ('{"n": 7}', {"response_format": FORM}, ""),
        ("Paris", {"tool_choice": "required"}, "no tool called"),
        ("one two three four five six seven eight " * 5, {}, "goes round in circles"),
    ],
)
def test_what_does_not_hold(content: str, parameters: dict[str, Any], why: str) -> None:
    assert rejection_reason({"role": "assistant", "content": content}, "stop", parameters) == why


def test_an_answer_that_was_cut_off_fails_where_nobody_asked_for_a_short_one() -> None:
    message = {"role": "assistant", "content": "Once upon a"}
    assert rejection_reason(message, "length", {}) == "cut off"
    assert rejection_reason(message, "length", {"max_tokens": 3}) == ""


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", "x" * 1000])
def test_a_call_whose_arguments_cannot_be_read_fails(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    assert rejection_reason({"role": "assistant", "tool_calls": [call]}, "tool_calls", {})
    call["function"] = {"name": "f", "arguments": json.dumps({"a": 1})}
    assert not rejection_reason({"role": "assistant", "tool_calls": [call]}, "tool_calls", {})
