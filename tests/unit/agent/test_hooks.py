"""Hooks round an agent's model calls and tool calls."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest

from ossa.agent import AgentTurn, RunnerFactory, ToolRegistry, tool
from ossa.agent.hooks import HookChain, load_hooks
from ossa.contracts.agent_hooks import AgentHook, HookContext, ProceedModel, ProceedTool, ToolCall, ToolResult
from ossa.contracts.agent_spec import AgentSpec, ToolRef
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import Fenced, InvalidRequest, ModelFailed
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.task import Assignment, Step, TaskRequest, TaskStatus, Turn, Usage
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel, single_client
from tests.support.clock import ManualClock

ENDPOINT = Endpoint(base_url="http://scripted/v1", model="scripted-1", output_usd_per_mtok=1.0)
MODELS = Models(tiers={"standard": ENDPOINT})


def runner(scripted: ScriptedModel, *hooks: AgentHook, paid: list[int] | None = None) -> AgentTurn:
    @tool(effects="idempotent")
    async def pay(amount: int) -> str:
        """Pay."""
        if paid is not None:
            paid.append(amount)
        return "paid"

    spec = AgentSpec(name="helper", dialect="ossa/v0.5.0", tools=(ToolRef(name="pay"),))
    return AgentTurn(
        Assignment(agent_id="foundation-001", pool="foundation", spec=spec),
        models=MODELS,
        clients=single_client(scripted),
        tools=ToolRegistry([pay]),
        clock=ManualClock(),
        hooks=hooks,
    )


def turn(text: str = "hi", **changes: Any) -> Turn:
    request = TaskRequest(messages=[{"role": "user", "content": text}])
    return Turn(**{"task_id": "task_1", "tenant": "acme", "request": request, **changes})


class Recording(AgentHook):
    """Writes down what passes it."""

    def __init__(self, name: str, log: list[tuple[str, str]]) -> None:
        self._name = name
        self._log = log
        self.contexts: list[HookContext] = []

    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        self.contexts.append(context)
        self._log.append((self._name, "model"))
        reply = await proceed(request)
        self._log.append((self._name, f"replied {reply.message['content']}"))
        return reply

    async def tool_call(self, call: ToolCall, context: HookContext, proceed: ProceedTool) -> ToolResult:
        self.contexts.append(context)
        self._log.append((self._name, f"tool {call.name}"))
        result = await proceed(call)
        self._log.append((self._name, f"returned {result.content}"))
        return result


async def test_the_first_hook_is_the_outermost_round_model_calls_and_tool_calls() -> None:
    log: list[tuple[str, str]] = []
    agent = runner(ScriptedModel(), Recording("outer", log), Recording("inner", log))
    result = await agent.run(turn('[[tool:pay {"amount": 3}]] done'), RecordingSink())
    assert result.outcome.status is TaskStatus.SUCCEEDED
    model, first = ["outer", "inner", "inner", "outer"], [what for _, what in log[:4]]
    assert [name for name, _ in log] == model * 3
    assert first == ["model", "model", "replied None", "replied None"]
    assert [what for _, what in log[4:8]] == ["tool pay", "tool pay", "returned paid", "returned paid"]


async def test_a_hook_is_told_which_call_it_is() -> None:
    hook, sink = Recording("it", []), RecordingSink()
    result = await runner(ScriptedModel(), hook).run(turn('[[tool:pay {"amount": 3}]] done'), sink)
    intent = next(step for step in sink.steps if step.kind == "tool_call")
    assert {context[:4] for context in hook.contexts} == {("task_1", "acme", "foundation-001", "helper")}
    assert [context.idempotency_key for context in hook.contexts] == [
        "task_1:model/0",
        intent.payload["idempotency_key"],
        "task_1:model/1",
    ]
    assert [context.step for context in hook.contexts] == [0, 2, result.steps[-1].seq]


async def test_a_model_call_that_is_made_again_after_a_takeover_has_the_key_it_had() -> None:
    whole, before, after = RecordingSink(), Recording("it", []), Recording("it", [])
    text = '[[tool:pay {"amount": 3}]] done'
    await runner(ScriptedModel(), before).run(turn(text), whole)
    kept = whole.steps
    takeover = Step(seq=len(kept), kind="takeover", agent_id="x", payload={}, at=ManualClock().now())
    await runner(ScriptedModel(), after).run(turn(text, steps=(*kept, takeover)), RecordingSink())
    assert [context.idempotency_key for context in after.contexts] == [before.contexts[-1].idempotency_key]


class Changing(AgentHook):
    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        messages = [{"role": "system", "content": "Be brief."}, *request.messages]
        parameters = {**request.parameters, "temperature": 0, "max_tokens": 10**6}
        return await proceed(request.model_copy(update={"messages": messages, "parameters": parameters}))

    async def tool_call(self, call: ToolCall, context: HookContext, proceed: ProceedTool) -> ToolResult:
        result = await proceed(ToolCall("other", "other", '{"amount": 1}'))
        return result._replace(content=result.content.upper())


async def test_a_hook_may_change_what_goes_in_and_what_comes_out() -> None:
    model, sink, paid = ScriptedModel(), RecordingSink(), list[int]()
    await runner(model, Changing(), paid=paid).run(turn('[[tool:pay {"amount": 3}]] done'), sink)
    assert model.requests[0].messages[0]["content"] == "Be brief."
    assert model.requests[0].parameters["temperature"] == 0
    assert paid == [1]
    intent = next(step for step in sink.steps if step.kind == "tool_call")
    assert intent.payload["arguments"] == '{"amount": 3}', "the journal has what the model wrote"
    assert sink.steps[-1].payload["content"] == "PAID"
    assert sink.steps[-1].payload["call_id"] == intent.payload["call_id"]


async def test_a_hook_gets_no_more_tokens_than_were_reserved() -> None:
    def grant(call: TurnCall) -> TurnCallResult:
        return TurnCallResult(granted_usd=100 / 1e6, reservation="r1")

    model = ScriptedModel()
    await runner(model, Changing()).run(turn(budgeted=True), RecordingSink(grant))
    assert model.requests[0].parameters["max_tokens"] == 100
    assert model.requests[0].billed_once


class Refusing(AgentHook):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        raise self._error


class RefusingTools(AgentHook):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def tool_call(self, call: ToolCall, context: HookContext, proceed: ProceedTool) -> ToolResult:
        raise self._error


async def test_a_refused_model_call_fails_with_the_hooks_error_and_gives_its_money_back() -> None:
    def grant(call: TurnCall) -> TurnCallResult:
        return TurnCallResult(granted_usd=1.0, reservation="" if call.unused else "r1")

    model, sink = ScriptedModel(), RecordingSink(grant)
    result = await runner(model, Refusing(InvalidRequest("not today"))).run(turn(budgeted=True), sink)
    assert model.requests == []
    assert result.outcome.error is not None
    assert (result.outcome.error.code, result.outcome.error.message) == ("invalid_request", "not today")
    assert [call.unused for call in sink.asked] == ["", "r1"]


async def test_the_model_is_told_of_a_refused_tool_call() -> None:
    paid: list[int] = []
    sink = RecordingSink()
    agent = runner(ScriptedModel(), RefusingTools(InvalidRequest("no payments")), paid=paid)
    result = await agent.run(turn('[[tool:pay {"amount": 3}]] done'), sink)
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert paid == []
    assert (sink.steps[-1].payload["content"], sink.steps[-1].payload["is_error"]) == ("no payments", True)


async def test_a_hook_that_breaks_is_named_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    agent = runner(ScriptedModel(), Refusing(KeyError("secret")))
    result = await agent.run(turn(), RecordingSink())
    assert result.outcome.error is not None
    assert result.outcome.error.code == "internal"
    assert "Refusing" in result.outcome.error.message
    assert "secret" not in result.outcome.error.message
    assert agent.hooks.failures == {"Refusing": 1}
    assert "agent_hook_failed" in caplog.text


async def test_a_tool_hook_that_breaks_keeps_the_tool_from_running() -> None:
    paid: list[int] = []
    sink = RecordingSink()
    agent = runner(ScriptedModel(), RefusingTools(KeyError("secret")), paid=paid)
    await agent.run(turn('[[tool:pay {"amount": 3}]] done'), sink)
    assert paid == []
    assert sink.steps[-1].payload["is_error"]
    assert "secret" not in sink.steps[-1].payload["content"]
    assert agent.hooks.failures == {"RefusingTools": 1}


class Forgetful(AgentHook):
    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        await proceed(request)
        return None  # type: ignore[return-value]


class Twice(AgentHook):
    async def tool_call(self, call: ToolCall, context: HookContext, proceed: ProceedTool) -> ToolResult:
        await proceed(call)
        return await proceed(call)


async def test_a_hook_that_returns_nothing_is_named() -> None:
    agent = runner(ScriptedModel(), Forgetful())
    result = await agent.run(turn(), RecordingSink())
    assert result.outcome.error is not None
    assert "Forgetful" in result.outcome.error.message


async def test_no_hook_makes_a_tool_run_twice() -> None:
    paid: list[int] = []
    agent = runner(ScriptedModel(), Twice(), paid=paid)
    await agent.run(turn('[[tool:pay {"amount": 3}]] done'), RecordingSink())
    assert paid == [3]
    assert agent.hooks.failures == {"Twice": 1}


async def test_what_the_model_raises_is_not_held_against_a_hook() -> None:
    hook = Recording("it", [])
    for error, code in ((ModelFailed("down"), "model_failed"), (ZeroDivisionError("bug"), "internal")):
        agent = runner(ScriptedModel([error]), hook)
        result = await agent.run(turn(), RecordingSink())
        assert result.outcome.error is not None
        assert result.outcome.error.code == code
        assert not agent.hooks.failures


class Swallowing(AgentHook):
    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        try:
            return await proceed(request)
        except Exception:
            return reply("swallowed")


def reply(text: str) -> ModelReply:
    message = {"role": "assistant", "content": text}
    return ModelReply(message=message, finish_reason="stop", model="hook", usage=Usage())


async def test_a_hook_may_answer_in_the_models_place_also_for_a_failed_one() -> None:
    result = await runner(ScriptedModel([ModelFailed("down")]), Swallowing()).run(turn(), RecordingSink())
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert result.outcome.message == {"role": "assistant", "content": "swallowed"}
    assert result.outcome.usage.cost_usd == 0


async def test_no_hook_hides_that_the_owner_is_gone() -> None:
    class Gone(RecordingSink):
        async def delta(self, text: str) -> None:
            raise Fenced("another owner")

    with pytest.raises(Fenced):
        await runner(ScriptedModel(), Swallowing()).run(turn(stream=True), Gone())


class Redacting(AgentHook):
    changes_replies = True

    async def model_call(self, request: ModelRequest, context: HookContext, proceed: ProceedModel) -> ModelReply:
        answer = await proceed(request)
        return answer.model_copy(update={"message": {**answer.message, "content": "redacted"}})


async def test_text_streams_through_hooks_unless_one_may_change_it() -> None:
    sink = RecordingSink()
    await runner(ScriptedModel(), Recording("it", [])).run(turn("one two", stream=True), sink)
    assert sink.text == "echo: one two"
    assert len(sink.deltas) > 1
    sink = RecordingSink()
    result = await runner(ScriptedModel(), Redacting()).run(turn("one two", stream=True), sink)
    assert sink.deltas == []
    assert result.outcome.message == {"role": "assistant", "content": "redacted"}


def test_methods_that_are_not_overridden_are_not_called() -> None:
    async def send(request: ModelRequest) -> ModelReply:
        return reply("")

    def context() -> HookContext:
        raise AssertionError("nobody needs it")

    chain = HookChain([RefusingTools(KeyError())])
    assert chain.model_call(context, send) is send


def module_with(monkeypatch: pytest.MonkeyPatch, **names: Any) -> None:
    module = ModuleType("hooks_under_test")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "hooks_under_test", module)


async def test_hooks_are_loaded_by_path_in_the_process_that_runs_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    module_with(monkeypatch, HOOK=Redacting(), Kind=Swallowing)
    paths = ("hooks_under_test:HOOK", "hooks_under_test:Kind")
    assert [type(hook) for hook in load_hooks(paths)] == [Redacting, Swallowing]
    factory: RunnerFactory = pickle.loads(pickle.dumps(RunnerFactory(MODELS, agent_hooks=paths)))
    spec = AgentSpec(name="helper", dialect="ossa/v0.5.0")
    agent = factory(Assignment(agent_id="foundation-001", pool="foundation", spec=spec))
    assert agent.hooks.holds_stream


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("no_such_module:HOOK", ImportError),
        ("hooks_under_test:ABSENT", ImportError),
        ("hooks_under_test", ImportError),
        ("hooks_under_test:NOTHING", TypeError),
    ],
)
def test_a_wrong_path_is_named_before_the_first_turn(
    monkeypatch: pytest.MonkeyPatch, path: str, error: type[Exception]
) -> None:
    module_with(monkeypatch, NOTHING=3)
    with pytest.raises(error, match=path):
        RunnerFactory(MODELS, agent_hooks=(path,)).warm()
