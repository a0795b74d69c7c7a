"""A turn with a budget asks its owner for money before each model call, and asks for no more than it got."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.agent import AgentTurn, ToolRegistry
from ossa.agent.conversation import Conversation
from ossa.agent.spending import LONGEST_ANSWER_TOKENS, USEFUL_ANSWER_TOKENS, USUAL_ANSWER_TOKENS, call_price
from ossa.contracts.agent_spec import AgentSpec, ModelPreference, ToolRef
from ossa.contracts.configuration import Endpoint, Models, PromptCache
from ossa.contracts.errors import BudgetExceeded, ModelFailed, TimedOut
from ossa.contracts.model import ModelReply
from ossa.contracts.task import Assignment, Message, TaskRequest, TaskStatus, Turn, Usage
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.models.usage import most_prompt_tokens, prompt_tokens
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel, single_client, tool_call

DEAR = Endpoint(base_url="http://scripted/v1", model="scripted-1", input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
FREE = Endpoint(base_url="http://scripted/v1", model="scripted-1")


def granting(share: float = 1.0, *, counted: bool = True) -> Callable[[TurnCall], TurnCallResult]:
    """An owner that grants the least, and this share of what is between the least and the most."""
    numbers = iter(range(1, 100))

    def answer(ask: TurnCall) -> TurnCallResult:
        if ask.reserve is None:
            return TurnCallResult()
        usd = ask.reserve.least_usd + share * (ask.reserve.most_usd - ask.reserve.least_usd)
        return TurnCallResult(granted_usd=usd, reservation=f"r{next(numbers)}" if counted else "")

    return answer


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


async def run(
    model: ScriptedModel, sink: RecordingSink, *, endpoint: Endpoint = DEAR, budgeted: bool = True, **parameters: Any
) -> Any:
    spec = AgentSpec(
        name="reviewer", dialect="ossa/v0.5.0", role="", tools=(ToolRef(name="calculator"),), model=ModelPreference()
    )
    runner = AgentTurn(
        Assignment(agent_id="security-001", pool="security", spec=spec),
        models=Models(tiers={"standard": endpoint}),
        clients=single_client(model),
        tools=ToolRegistry.load(()),
    )
    request = TaskRequest(messages=[{"role": "user", "content": "hello"}], parameters=parameters)
    turn = Turn(task_id="task_1", tenant="acme", request=request, budgeted=budgeted)
    return await runner.run(turn, sink)


@pytest.mark.parametrize(("endpoint", "budgeted"), [(DEAR, False), (FREE, True)])
async def test_without_a_budget_or_a_price_nobody_is_asked(endpoint: Endpoint, budgeted: bool) -> None:
    sink, model = RecordingSink(), ScriptedModel([said("done")])
    result = await run(model, sink, endpoint=endpoint, budgeted=budgeted)
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert sink.asked == []
    assert "reservation" not in result.steps[-1].payload


async def test_every_call_is_reserved_for_and_its_step_says_from_what_it_was_paid() -> None:
    sink = RecordingSink(granting())
    model = ScriptedModel([tool_call("calculator", '{"expression": "1+1"}'), said("two")])
    result = await run(model, sink)
    steps = [step for step in (*sink.steps, *result.steps) if step.kind == "model"]
    assert [step.payload["reservation"] for step in steps] == ["r1", "r2"]
    assert len(sink.asked) == 2
    assert all(request.billed_once for request in model.requests)


async def test_the_whole_grant_is_the_longest_answer_that_was_asked_for() -> None:
    sink, model = RecordingSink(granting()), ScriptedModel([said("done")])
    await run(model, sink, max_tokens=1000)
    assert model.requests[0].parameters["max_tokens"] == 1000
    asked = sink.asked[0].reserve
    assert asked is not None
    assert asked.most_usd - asked.least_usd == pytest.approx((1000 - USEFUL_ANSWER_TOKENS) * 10 / 1e6)


async def test_a_call_without_any_cap_gets_one() -> None:
    model = ScriptedModel([said("done")])
    await run(model, RecordingSink(granting()))
    assert model.requests[0].parameters["max_tokens"] == USUAL_ANSWER_TOKENS


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_a_wish_takes_no_more_of_a_budget_than_an_answer_may_have(name: str) -> None:
    sink, model = RecordingSink(granting()), ScriptedModel([said("done")])
    wish: dict[str, Any] = {name: 2**31 - 1}
    await run(model, sink, **wish)
    asked = sink.asked[0].reserve
    assert asked is not None
    assert asked.most_usd < (LONGEST_ANSWER_TOKENS + 1000) * 10 / 1e6
    assert model.requests[0].parameters[name] == LONGEST_ANSWER_TOKENS


async def test_a_known_context_bounds_the_answer_by_the_room_that_the_prompt_leaves() -> None:
    sink, model = RecordingSink(granting()), ScriptedModel([said("done")])
    await run(model, sink, endpoint=DEAR.model_copy(update={"context_tokens": 100_000}), max_tokens=2**31 - 1)
    cap = model.requests[0].parameters["max_tokens"]
    assert 99_000 < cap < 100_000


async def test_a_smaller_grant_makes_a_shorter_answer() -> None:
    model = ScriptedModel([said("done")])
    await run(model, RecordingSink(granting(0.0)), max_completion_tokens=4000)
    assert model.requests[0].parameters["max_completion_tokens"] == USEFUL_ANSWER_TOKENS


async def test_where_no_budget_applies_after_all_the_call_is_as_it_was() -> None:
    sink, model = RecordingSink(granting(counted=False)), ScriptedModel([said("done")])
    result = await run(model, sink)
    assert "max_tokens" not in model.requests[0].parameters
    assert "reservation" not in result.steps[-1].payload


async def test_a_refused_reservation_ends_the_turn_before_the_model_is_asked() -> None:
    def refuse(ask: TurnCall) -> TurnCallResult:
        raise BudgetExceeded("The budget tenant:acme/day is used up.", "budgets.tenant:acme/day", 3600.0)

    model = ScriptedModel([said("done")])
    result = await run(model, RecordingSink(refuse))
    error = result.outcome.error
    assert (error.code, error.param, error.retry_after_s) == ("budget_exceeded", "budgets.tenant:acme/day", 3600.0)
    assert model.requests == []


async def test_a_call_that_was_refused_gives_its_reservation_back_and_one_that_timed_out_does_not() -> None:
    refused, lost = RecordingSink(granting()), RecordingSink(granting())
    await run(ScriptedModel([ModelFailed("no", details={"upstream_status": 503})]), refused)
    await run(ScriptedModel([TimedOut("silent")]), lost)
    assert [ask.unused for ask in refused.asked] == ["", "r1"]
    assert [ask.unused for ask in lost.asked] == [""]


@pytest.mark.parametrize(
    "content",
    ["plain words", "数字と文字" * 50, "\U0001f600" * 30, "0123456789" * 20, [{"type": "text", "text": "é" * 99}], ""],
)
def test_the_most_a_prompt_can_have_is_not_below_any_estimate_of_it(content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    most = most_prompt_tokens(messages)
    assert most >= prompt_tokens(messages)
    text = content if isinstance(content, str) else content[0]["text"]
    assert most >= len(text.encode())


def test_a_prompt_may_be_written_to_the_providers_cache_as_a_whole() -> None:
    plain = call_price(DEAR, prompt=250, most_prompt=1000, cap=10, asked=None)
    cached = call_price(
        DEAR.model_copy(update={"prompt_cache": PromptCache(write=1.25)}),
        prompt=250,
        most_prompt=1000,
        cap=10,
        asked=20,
    )
    assert plain is not None
    assert cached is not None
    assert (plain.prompt_usd, cached.prompt_usd) == (0.001, 0.00125)
    assert (plain.cap, cached.cap) == (10, 10)


def test_what_one_model_counted_does_not_bound_the_prompt_of_another() -> None:
    request = TaskRequest(messages=[{"role": "user", "content": "word " * 1000}])
    talk = Conversation("", request, (), agent_id="security-001")
    call = tool_call("calculator", '{"expression": "1+1"}')
    reply = ModelReply(message=call, finish_reason="tool_calls", model="m", usage=Usage(prompt_tokens=1000))
    talk.add_reply(reply, talk.named(call), datetime.now(UTC), endpoint=DEAR)
    whole = most_prompt_tokens(talk.messages())
    assert talk.most_prompt_tokens((), DEAR) < whole
    assert talk.most_prompt_tokens((), DEAR.model_copy(update={"model": "another"})) == whole
    resumed = Conversation("", request, talk.uncommitted, agent_id="security-001")
    assert resumed.most_prompt_tokens((), DEAR) == whole
