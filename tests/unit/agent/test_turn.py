"""A turn from its request to its outcome, over a scripted model and a recording owner."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ossa.agent import AgentTurn, ToolContext, ToolRegistry, tool
from ossa.contracts.agent_spec import AgentSpec, ModelPreference, ToolRef
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import Fenced, ModelFailed, ModelRejected, NotReady
from ossa.contracts.task import Assignment, Step, TaskRequest, TaskStatus, Turn, UsageToday
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel, single_client, tool_call
from tests.support.clock import ManualClock

MODELS = Models(tiers={"standard": Endpoint(base_url="http://scripted/v1", model="scripted-1")})
CLIENT_TOOL = {"type": "function", "function": {"name": "theirs", "parameters": {"type": "object"}}}


class Counted:
    """Tools that count their effects by idempotency key."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        self.cancelled = 0

    def tools(self) -> ToolRegistry:
        @tool(effects="idempotent")
        async def pay(amount: int, context: ToolContext) -> dict[str, int]:
            """Pay."""
            self.keys.append(context.idempotency_key)
            return {"paid": amount}

        @tool(effects="at_most_once")
        async def mail(context: ToolContext) -> str:
            """Mail."""
            self.keys.append(context.idempotency_key)
            return "sent"

        @tool(effects="none")
        async def wait() -> str:
            """Wait."""
            self.started.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "waited"

        @tool(effects="none")
        async def explode() -> str:
            """Explode."""
            raise RuntimeError("boom")

        return ToolRegistry([pay, mail, wait, explode])


def runner(
    scripted: ScriptedModel,
    tools: ToolRegistry | None = None,
    *,
    models: Models = MODELS,
    clock: ManualClock | None = None,
    **spec: Any,
) -> AgentTurn:
    registry = tools if tools is not None else ToolRegistry([])
    refs = tuple(ToolRef(name=name) for name in registry.names)
    manifest = AgentSpec(**{"name": "helper", "dialect": "ossa/v0.5.0", "tools": refs, **spec})
    assignment = Assignment(agent_id="foundation-001", pool="foundation", spec=manifest)
    return AgentTurn(
        assignment, models=models, clients=single_client(scripted), tools=registry, clock=clock or ManualClock()
    )


def turn(text: str = "hi", steps: tuple[Step, ...] = (), **changes: Any) -> Turn:
    request = {"messages": [{"role": "user", "content": text}], **changes.pop("request", {})}
    return Turn(task_id="task_1", tenant="acme", request=TaskRequest(**request), steps=steps, **changes)


async def test_an_answer_without_tools_commits_nothing_before_the_end() -> None:
    sink = RecordingSink()
    result = await runner(ScriptedModel()).run(turn(), sink)
    assert sink.commits == []
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert result.outcome.message == {"role": "assistant", "content": "echo: hi"}
    assert result.outcome.finish_reason == "stop"
    assert (result.outcome.agent_id, result.outcome.pool) == ("foundation-001", "foundation")
    assert (result.outcome.model, result.outcome.tier) == ("scripted-1", "standard")
    assert [(step.seq, step.kind) for step in result.steps] == [(0, "model")]
    assert result.outcome.usage == result.steps[0].usage
    assert result.outcome.usage.model_calls == 1


async def test_the_manifests_role_comes_first_and_is_joined_to_the_requests_own_system_message() -> None:
    model = ScriptedModel()
    agent = runner(model, role="You are terse.")
    await agent.run(turn(), RecordingSink())
    assert model.requests[0].messages[0] == {"role": "system", "content": "You are terse."}
    messages = [{"role": "system", "content": "Speak French."}, {"role": "user", "content": "hi"}]
    await agent.run(turn(request={"messages": messages}), RecordingSink())
    assert model.requests[1].messages[0] == {"role": "system", "content": "You are terse.\n\nSpeak French."}
    assert len(model.requests[1].messages) == 2


async def test_an_intent_is_committed_with_its_message_before_the_tool_runs() -> None:
    counted, sink = Counted(), RecordingSink()
    sink.fail_next_commit(Fenced("another owner"))
    agent = runner(ScriptedModel(), counted.tools())
    with pytest.raises(Fenced):
        await agent.run(turn('[[tool:pay {"amount": 3}]]'), sink)
    assert counted.keys == []


async def test_a_tool_runs_between_two_commits_and_the_model_sees_its_result() -> None:
    counted, sink, model = Counted(), RecordingSink(), ScriptedModel()
    result = await runner(model, counted.tools()).run(turn('[[tool:pay {"amount": 3}]] done'), sink)
    assert [[step.kind for step in commit] for commit in sink.commits] == [["model", "tool_call"], ["tool_result"]]
    assert [step.seq for step in (*sink.steps, *result.steps)] == [0, 1, 2, 3]
    intent, answer = sink.steps[1].payload, sink.steps[2].payload
    assert intent["idempotency_key"] == f"task_1:{intent['call_id']}" == counted.keys[0]
    assert answer == {"call_id": intent["call_id"], "name": "pay", "content": '{"paid":3}', "is_error": False}
    assert model.requests[1].messages[-1] == {
        "role": "tool",
        "tool_call_id": intent["call_id"],
        "content": '{"paid":3}',
    }
    assert result.outcome.message == {"role": "assistant", "content": 'echo: done [{"paid":3}]'}
    assert result.outcome.usage.model_calls == 2


async def test_the_model_sees_all_that_happened_in_its_order() -> None:
    text = (
        '[[tool:pay {"amount": 1}]] [[tool:pay {"amount": 2}]]+[[tool:pay {"amount": 3}]] [[tool:pay {"amount": 4}]] x'
    )
    whole, model = RecordingSink(), ScriptedModel()
    result = await runner(model, Counted().tools()).run(turn(text), whole)
    assert result.outcome.message is not None
    assert result.outcome.message["content"] == 'echo: x [{"paid":1}; {"paid":2}; {"paid":3}; {"paid":4}]'
    last = model.requests[-1].messages
    roles = " ".join(message["role"] for message in last)
    assert roles == "user assistant tool assistant tool tool assistant tool"
    asked = [call["id"] for message in last for call in message.get("tool_calls") or ()]
    assert [message["tool_call_id"] for message in last if message["role"] == "tool"] == asked

    again = ScriptedModel()
    await runner(again, Counted().tools()).run(turn(text, steps=whole.steps), RecordingSink())
    assert again.requests[0].messages == last, "a takeover sees the same"


async def test_repeated_ids_of_the_model_become_unique_in_the_task() -> None:
    counted, sink = Counted(), RecordingSink()
    text = '[[tool:pay {"amount": 1}]] [[tool:pay {"amount": 2}]]+[[tool:pay {"amount": 3}]]'
    await runner(ScriptedModel(), counted.tools()).run(turn(text), sink)
    assert len(set(counted.keys)) == 3
    for step in sink.steps:
        if step.kind == "model":
            ids = [call["id"] for call in step.payload["message"]["tool_calls"]]
            intents = [s.payload["call_id"] for s in sink.steps if s.kind == "tool_call"]
            assert set(ids) <= set(intents)


@pytest.mark.parametrize("commits", [1, 2, 3, 4])
async def test_a_turn_taken_over_after_any_commit_ends_as_if_nothing_had_happened(commits: int) -> None:
    text = '[[tool:pay {"amount": 1}]] [[tool:pay {"amount": 2}]]+[[tool:pay {"amount": 3}]] end'
    whole = RecordingSink()
    expected = await runner(ScriptedModel(), Counted().tools()).run(turn(text), whole)
    assert len(whole.commits) == 4

    kept = tuple(step for commit in whole.commits[:commits] for step in commit)
    takeover = Step(seq=len(kept), kind="takeover", agent_id="x", payload={}, at=ManualClock().now())
    counted, sink = Counted(), RecordingSink()
    result = await runner(ScriptedModel(), counted.tools()).run(turn(text, steps=(*kept, takeover)), sink)

    assert result.outcome == expected.outcome, "the usage from before the takeover counts too"
    seqs = [step.seq for step in (*kept, takeover, *sink.steps, *result.steps)]
    assert seqs == list(range(len(seqs)))
    maybe_run = {step.payload["idempotency_key"] for step in kept if step.kind == "tool_call"}
    assert len(maybe_run | set(counted.keys)) == 3, "a call run again has the key it had"


async def test_a_partly_answered_message_has_only_the_rest_of_its_calls_run() -> None:
    text = '[[tool:pay {"amount": 1}]]+[[tool:pay {"amount": 2}]]'
    whole = RecordingSink()
    await runner(ScriptedModel(), Counted().tools()).run(turn(text), whole)
    second_result = next(s for s in whole.steps if s.kind == "tool_result" and s.payload["content"] == '{"paid":2}')
    kept = (*whole.commits[0], second_result.model_copy(update={"seq": 3}))
    counted, sink, model = Counted(), RecordingSink(), ScriptedModel()
    result = await runner(model, counted.tools()).run(turn(text, steps=kept), sink)
    assert len(counted.keys) == 1
    assert [step.kind for step in sink.steps] == ["tool_result"]
    assert [m["content"] for m in model.requests[0].messages if m["role"] == "tool"] == ['{"paid":1}', '{"paid":2}']
    assert result.outcome.status is TaskStatus.SUCCEEDED


async def test_an_at_most_once_call_that_was_interrupted_is_not_made_again() -> None:
    whole = RecordingSink()
    await runner(ScriptedModel(), Counted().tools()).run(turn("[[tool:mail]]"), whole)
    counted, sink = Counted(), RecordingSink()
    result = await runner(ScriptedModel(), counted.tools()).run(turn("[[tool:mail]]", steps=whole.commits[0]), sink)
    assert counted.keys == []
    assert sink.steps[0].payload["is_error"]
    assert "outcome is unknown" in sink.steps[0].payload["content"]
    assert result.outcome.status is TaskStatus.SUCCEEDED


async def test_a_journaled_answer_is_not_asked_for_again() -> None:
    model = ScriptedModel()
    first = await runner(model).run(turn(), RecordingSink())
    again = await runner(model).run(turn(steps=first.steps), RecordingSink())
    assert len(model.requests) == 1
    assert again.steps == ()
    assert again.outcome == first.outcome


async def test_tools_of_one_message_run_side_by_side() -> None:
    counted, sink = Counted(), RecordingSink()
    agent = runner(ScriptedModel(), counted.tools())
    task = asyncio.create_task(agent.run(turn('[[tool:wait]]+[[tool:pay {"amount": 1}]] go'), sink))
    async with asyncio.timeout(5):
        while len(sink.commits) < 2:  # noqa: ASYNC110 - the sink has no event
            await asyncio.sleep(0)
        assert not counted.gate.is_set()
        assert sink.steps[-1].payload["name"] == "pay", "a result is written down as soon as it is there"
        counted.gate.set()
        result = await task
    assert result.outcome.message == {"role": "assistant", "content": 'echo: go [waited; {"paid":1}]'}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("[[tool:absent]]", "There is no tool 'absent'"),
        ("[[tool:pay {oops]]", "not JSON"),
        ("[[tool:pay [1]]]", "JSON object"),
        ("[[tool:pay {}]]", "amount: Field required"),
        ('[[tool:pay {"amount": "many"}]]', "amount: Input should be a valid integer"),
        ('[[tool:pay {"amount": 1, "to": "me"}]]', "to: Extra inputs"),
        ("[[tool:explode]]", "RuntimeError: boom"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(call: str, says: str) -> None:
    counted, sink = Counted(), RecordingSink()
    agent = runner(ScriptedModel(), counted.tools())
    result = await agent.run(turn(call), sink)
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert sink.steps[-1].payload["is_error"]
    assert says in sink.steps[-1].payload["content"]
    assert counted.keys == []


async def test_a_call_of_the_callers_own_tool_ends_the_turn() -> None:
    model, sink = ScriptedModel(), RecordingSink()
    request = {"parameters": {"tools": [CLIENT_TOOL]}}
    result = await runner(model, Counted().tools()).run(turn("[[tool:theirs {}]]", request=request), sink)
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert result.outcome.finish_reason == "tool_calls"
    assert result.outcome.message is not None
    assert result.outcome.message["tool_calls"][0]["function"]["name"] == "theirs"
    assert sink.commits == []
    names = [one["function"]["name"] for one in model.requests[0].parameters["tools"]]
    assert names == ["theirs", "pay", "mail", "wait", "explode"]


async def test_a_mixed_message_leaves_the_caller_with_its_own_calls_alone() -> None:
    counted = Counted()
    request = {"parameters": {"tools": [CLIENT_TOOL]}}
    asked = turn('[[tool:theirs]]+[[tool:pay {"amount": 1}]]', request=request)
    result = await runner(ScriptedModel(), counted.tools()).run(asked, RecordingSink())
    assert result.outcome.message is not None
    assert [call["function"]["name"] for call in result.outcome.message["tool_calls"]] == ["theirs"]
    assert counted.keys == []


async def test_own_tools_are_not_offered_when_the_caller_wants_none() -> None:
    model = ScriptedModel()
    request = {"parameters": {"tool_choice": "none"}}
    await runner(model, Counted().tools()).run(turn(request=request), RecordingSink())
    assert "tools" not in model.requests[0].parameters
    assert "tool_choice" not in model.requests[0].parameters


async def test_a_forced_tool_is_forced_once() -> None:
    model = ScriptedModel()
    request = {"parameters": {"tool_choice": "required"}}
    asked = turn('[[tool:pay {"amount": 1}]]', request=request)
    await runner(model, Counted().tools()).run(asked, RecordingSink())
    assert [one.parameters["tool_choice"] for one in model.requests] == ["required", "auto"]


async def test_the_answer_streams_while_it_comes() -> None:
    sink = RecordingSink()
    result = await runner(ScriptedModel()).run(turn("one two", stream=True), sink)
    assert len(sink.deltas) > 1
    assert result.outcome.message is not None
    assert sink.text == result.outcome.message["content"] == "echo: one two"


async def test_cancelling_a_turn_reaches_the_model_call() -> None:
    model, clock = ScriptedModel(), ManualClock()
    model.hold()
    task = asyncio.create_task(runner(model, clock=clock).run(turn(), RecordingSink()))
    await clock.waiting()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.cancelled == 1


async def test_cancelling_a_turn_reaches_its_tools() -> None:
    counted = Counted()
    task = asyncio.create_task(runner(ScriptedModel(), counted.tools()).run(turn("[[tool:wait]]"), RecordingSink()))
    async with asyncio.timeout(5):
        await counted.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert counted.cancelled == 1


@pytest.mark.parametrize("error", [ModelFailed("down", retry_after_s=3), ModelRejected("too long")])
async def test_an_error_of_the_model_is_a_failed_outcome(error: ModelFailed) -> None:
    agent = runner(ScriptedModel([error]))
    result = await agent.run(turn(), RecordingSink())
    assert result.outcome.status is TaskStatus.FAILED
    assert result.outcome.error is not None
    assert (result.outcome.error.code, result.outcome.error.message) == (error.code, error.message)
    assert result.outcome.error.retry_after_s == error.retry_after_s


async def test_a_failure_after_tools_keeps_the_usage_so_far() -> None:
    model = ScriptedModel([tool_call("pay", '{"amount": 1}'), ModelFailed("down")])
    result = await runner(model, Counted().tools()).run(turn(), RecordingSink())
    assert result.outcome.status is TaskStatus.FAILED
    assert result.outcome.usage.model_calls == 1
    assert result.outcome.usage.total_tokens > 0


async def test_an_unexpected_error_is_logged_and_says_nothing_to_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    agent = runner(ScriptedModel([ZeroDivisionError("secret detail")]))
    result = await agent.run(turn(), RecordingSink())
    assert result.outcome.error is not None
    assert result.outcome.error.code == "internal"
    assert "secret" not in result.outcome.error.message
    assert "turn_crashed" in caplog.text


async def test_the_number_of_model_calls_is_limited_and_named() -> None:
    counted, sink = Counted(), RecordingSink()
    text = " ".join(['[[tool:pay {"amount": 1}]]'] * 5)
    result = await runner(ScriptedModel(), counted.tools(), limits={"max_steps": 3}).run(turn(text), sink)
    assert result.outcome.error is not None
    assert result.outcome.error.code == "limit_exceeded"
    assert result.outcome.error.param == "limits.max_steps"
    assert "max_steps (3 model calls)" in result.outcome.error.message
    assert len(counted.keys) == 2, "no tool runs whose result no model call would see"
    assert [step.kind for step in result.steps] == ["model"], "what was paid for is journaled"


async def test_the_tokens_of_a_turn_are_limited_over_all_its_calls() -> None:
    model = ScriptedModel([tool_call("pay", '{"amount": 1}')] * 10)
    result = await runner(model, Counted().tools(), limits={"max_tokens_per_request": 400}).run(turn(), RecordingSink())
    assert result.outcome.error is not None
    assert "max_tokens_per_request (400 tokens)" in result.outcome.error.message
    caps = [request.parameters["max_tokens"] for request in model.requests]
    assert all(cap < 400 for cap in caps)
    assert caps[1:] == sorted(caps[1:], reverse=True), "the first prompt is estimated, the others counted"


async def test_what_a_manifest_used_today_counts() -> None:
    spec = {"limits": {"max_tokens_per_day": 1000}}
    result = await runner(ScriptedModel(), **spec).run(turn(used_today=UsageToday(tokens=999)), RecordingSink())
    assert result.outcome.error is not None
    assert "max_tokens_per_day" in result.outcome.error.message
    assert result.outcome.error.retry_after_s == 12 * 3600, "the day ends at midnight UTC"


async def test_the_cost_of_a_day_is_limited() -> None:
    priced = Endpoint(base_url="http://scripted/v1", model="m", input_usd_per_mtok=1, output_usd_per_mtok=1)
    models = Models(tiers={"standard": priced})
    model = ScriptedModel()
    agent = runner(model, models=models, limits={"max_cost_per_day_usd": 0.01})
    refused = await agent.run(turn(used_today=UsageToday(cost_usd=0.01)), RecordingSink())
    assert refused.outcome.error is not None
    assert "max_cost_per_day_usd (0.01 USD)" in refused.outcome.error.message
    assert model.requests == []
    await agent.run(turn(used_today=UsageToday(cost_usd=0.0099)), RecordingSink())
    assert 80 < model.requests[0].parameters["max_tokens"] < 100


async def test_the_time_of_a_turn_is_limited_while_the_model_thinks() -> None:
    model, clock = ScriptedModel(), ManualClock()
    model.hold()
    agent = runner(model, clock=clock, limits={"timeout_s": 5})
    task = asyncio.create_task(agent.run(turn(), RecordingSink()))
    await clock.waiting()
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(0.1)
    result = await task
    assert result.outcome.error is not None
    assert result.outcome.error.code == "limit_exceeded"
    assert "timeout_s (5 s)" in result.outcome.error.message
    assert model.cancelled == 1


async def test_the_time_of_a_turn_is_limited_while_a_tool_runs() -> None:
    counted, clock = Counted(), ManualClock()
    agent = runner(ScriptedModel(), counted.tools(), clock=clock, limits={"timeout_s": 5})
    task = asyncio.create_task(agent.run(turn("[[tool:wait]]"), RecordingSink()))
    await counted.started.wait()
    clock.advance(5)
    result = await task
    assert result.outcome.error is not None
    assert "timeout_s" in result.outcome.error.message
    assert counted.cancelled == 1


async def test_the_callers_own_timeout_is_a_timeout_and_no_limit() -> None:
    model, clock = ScriptedModel(), ManualClock()
    model.hold()
    agent = runner(model, clock=clock, limits={"timeout_s": 60})
    task = asyncio.create_task(agent.run(turn(request={"timeout_s": 5}), RecordingSink()))
    await clock.waiting()
    clock.advance(5)
    result = await task
    assert result.outcome.error is not None
    assert result.outcome.error.code == "timed_out"


async def test_the_manifests_parameters_are_defaults_for_the_requests() -> None:
    model = ScriptedModel()
    agent = runner(model, model=ModelPreference(temperature=0.1, top_p=0.5, max_tokens=50))
    await agent.run(turn(request={"parameters": {"temperature": 0.9, "seed": 7, "stream": True}}), RecordingSink())
    assert model.requests[0].parameters == {
        "temperature": 0.9,
        "top_p": 0.5,
        "max_completion_tokens": 50,
        "seed": 7,
    }


async def test_tools_off_the_allow_list_are_left_out_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel()
    with caplog.at_level(logging.WARNING):
        agent = runner(model, tools=ToolRegistry([]), **{})
        spec = agent.assignment.spec.model_copy(update={"tools": (ToolRef(name="rm-rf"),)})
        agent = AgentTurn(
            agent.assignment.model_copy(update={"spec": spec}),
            models=MODELS,
            clients=single_client(model),
            tools=ToolRegistry([]),
        )
        await agent.run(turn(), RecordingSink())
        await agent.run(turn(), RecordingSink())
    records = [record for record in caplog.records if record.message == "tools_not_allowed"]
    assert len(records) == 1
    assert records[0].__dict__["tools"] == ["rm-rf"]
    assert "tools" not in model.requests[0].parameters


async def test_turns_run_side_by_side_without_touching() -> None:
    counted = Counted()
    agent = runner(ScriptedModel(), counted.tools())
    texts = [f'[[tool:pay {{"amount": {i}}}]] {i}' for i in range(20)]
    turns = [turn(text).model_copy(update={"task_id": f"task_{i}"}) for i, text in enumerate(texts)]
    results = await asyncio.gather(*(agent.run(one, RecordingSink()) for one in turns))
    for i, result in enumerate(results):
        assert result.outcome.message == {"role": "assistant", "content": f'echo: {i} [{{"paid":{i}}}]'}
    assert len(set(counted.keys)) == 20


def test_an_agent_without_any_model_endpoint_does_not_start() -> None:
    with pytest.raises(NotReady):
        runner(ScriptedModel(), models=Models())
