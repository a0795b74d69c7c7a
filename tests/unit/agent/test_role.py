"""A manifest's system prompt with placeholders: resolved by the owner, once a conversation."""

from __future__ import annotations

from ossa.agent import AgentTurn, ToolRegistry, tool
from ossa.contracts.agent_spec import AgentSpec, ToolRef
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.task import Assignment, Step, TaskRequest, TaskStatus, Turn
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel, single_client, tool_call
from tests.support.clock import ManualClock

ROLE = "You watch {STATE:pool:security:ready} agents."
SAID = {"role": "assistant", "content": "done"}


def owner(ask: TurnCall) -> TurnCallResult:
    assert ask.role == ROLE
    return TurnCallResult(role="You watch [ready] agents.", values="Now: [ready] = 7")


def runner(scripted: ScriptedModel, role: str = ROLE) -> AgentTurn:
    @tool(effects="none")
    async def look() -> str:
        """Look."""
        return "{STATE:pool:security:ready}"

    spec = AgentSpec(name="helper", dialect="ossa/v0.5.0", role=role, tools=(ToolRef(name="look"),))
    endpoint = Endpoint(base_url="http://scripted/v1", model="scripted-1")
    return AgentTurn(
        Assignment(agent_id="operations-001", pool="operations", spec=spec),
        models=Models(tiers={"standard": endpoint}),
        clients=single_client(scripted),
        tools=ToolRegistry([look]),
        clock=ManualClock(),
    )


def turn(*messages: dict[str, str], steps: tuple[Step, ...] = ()) -> Turn:
    asked = TaskRequest(messages=list(messages) or [{"role": "user", "content": "hi"}])
    return Turn(task_id="task_1", tenant="acme", request=asked, steps=steps)


async def test_it_is_resolved_once_and_what_changes_ends_the_system_message() -> None:
    scripted, sink = ScriptedModel([tool_call("look"), SAID]), RecordingSink(owner)
    await runner(scripted).run(
        turn({"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}), sink
    )
    first, second = (request.messages[0] for request in scripted.requests)
    assert first == {"role": "system", "content": "You watch [ready] agents.\n\nBe short.\n\nNow: [ready] = 7"}
    assert second == first
    assert len(sink.asked) == 1


async def test_whoever_takes_over_says_the_same() -> None:
    scripted, sink = ScriptedModel([tool_call("look"), SAID]), RecordingSink(owner)
    await runner(scripted).run(turn(), sink)
    again, other = ScriptedModel([SAID]), RecordingSink()
    result = await runner(again).run(turn(steps=sink.steps), other)
    assert result.outcome.status is TaskStatus.SUCCEEDED
    assert again.requests[0].messages == scripted.requests[1].messages
    assert not other.asked


async def test_text_of_users_and_tools_is_never_resolved() -> None:
    scripted, sink = ScriptedModel([tool_call("look"), SAID]), RecordingSink(owner)
    said = "{STATE:pool:security:ready} of {METRICS:metrics:all:x}"
    await runner(scripted, role="You help.").run(turn({"role": "user", "content": said}), sink)
    assert not sink.asked
    messages = scripted.requests[1].messages
    assert messages[1]["content"] == said
    assert messages[3]["content"] == "{STATE:pool:security:ready}"


async def test_what_cannot_be_resolved_fails_the_turn_with_the_reason() -> None:
    def refusing(ask: TurnCall) -> TurnCallResult:
        raise InvalidRequest("Placeholders need one another: {STATE:a:b:c} -> {STATE:a:b:c}")

    scripted = ScriptedModel([SAID])
    result = await runner(scripted).run(turn(), RecordingSink(refusing))
    assert result.outcome.status is TaskStatus.FAILED
    assert result.outcome.error is not None
    assert "need one another" in result.outcome.error.message
    assert not scripted.requests
