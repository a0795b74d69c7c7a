"""What an endpoint said besides its text goes back to it in the turn's own tool loop, and to no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ossa.agent.conversation import Conversation
from ossa.contracts.agent_spec import Tier
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.contracts.task import Delta, Message, TaskRequest
from ossa.testing.agent import RecordingSink
from ossa.testing.models.client import ScriptedModel
from tests.unit.agent.test_turn import Counted, runner, turn

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "pay", "arguments": '{"amount": 3}'},
    "extra_content": {"google": {"thought_signature": "sig"}},
}
SAID: Message = {
    "role": "assistant",
    "content": None,
    "tool_calls": [CALL],
    "reasoning_content": "Paying is asked for.",
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "abc"}],
    "annotations": [{"type": "url_citation"}],
    "function_call": None,
    "audio": None,
}
SENT_BACK = {key: SAID[key] for key in ("role", "content", "tool_calls", "reasoning_content", "reasoning_details")}
PLAIN = {"role": "assistant", "content": None, "tool_calls": [{k: CALL[k] for k in ("id", "type", "function")}]}


async def test_reasoning_and_signatures_go_back_to_the_endpoint_that_sent_them() -> None:
    model, sink = ScriptedModel([SAID]), RecordingSink()
    result = await runner(model, Counted().tools()).run(turn("pay"), sink)
    assert model.requests[1].messages[-2] == SENT_BACK
    assert result.outcome.message == {"role": "assistant", "content": 'echo: pay [{"paid":3}]'}

    again = ScriptedModel()
    await runner(again, Counted().tools()).run(turn("pay", steps=sink.steps), RecordingSink())
    assert again.requests[0].messages == model.requests[1].messages, "a takeover sends the same"


async def test_another_tier_is_sent_what_any_endpoint_takes() -> None:
    def models(url: str) -> Models:
        tiers: dict[Tier, Endpoint] = {"standard": Endpoint(base_url=url, model="scripted-1")}
        return Models(tiers=tiers)

    sink, other = RecordingSink(), ScriptedModel()
    await runner(ScriptedModel([SAID]), Counted().tools()).run(turn("pay"), sink)
    await runner(other, Counted().tools(), models=models("http://other/v1")).run(
        turn("pay", steps=sink.steps), RecordingSink()
    )
    assert other.requests[0].messages[-2] == PLAIN


async def test_a_field_that_its_endpoint_does_not_take_back_is_left_out() -> None:
    sink = RecordingSink()
    agent = runner(ScriptedModel([SAID]), Counted().tools())
    await agent.run(turn("pay"), sink)
    request = TaskRequest(messages=[{"role": "user", "content": "pay"}])
    talk = Conversation("", request, sink.steps, agent_id="a-000")
    endpoint = agent.models(turn())[0][0].endpoint
    assert talk.messages(endpoint)[1] == SENT_BACK
    left = talk.messages(endpoint, without={"reasoning_details"})[1]
    assert left == {key: value for key, value in SENT_BACK.items() if key != "reasoning_details"}
    assert talk.messages()[1] == PLAIN


async def test_what_goes_back_is_counted_in_the_most_a_prompt_can_take() -> None:
    sink = RecordingSink()
    agent = runner(ScriptedModel([{**SAID, "reasoning_content": "long " * 1000}]), Counted().tools())
    await agent.run(turn("pay"), sink)
    talk = Conversation("", TaskRequest(messages=[]), sink.steps, agent_id="a-000")
    assert talk.most_prompt_tokens((), agent.models(turn())[0][0].endpoint) > 5000


async def test_the_callers_tool_calls_keep_their_own_fields() -> None:
    theirs = {"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}
    result = await runner(ScriptedModel([SAID])).run(
        turn("pay", request={"parameters": {"tools": [theirs]}}), RecordingSink()
    )
    assert result.outcome.message is not None
    assert result.outcome.message["tool_calls"] == [CALL]
    assert result.outcome.message["reasoning_content"] == SAID["reasoning_content"]


class Streaming(ScriptedModel):
    """Streams other fields beside its text."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelReply]:
        reply = await self.complete(request)
        yield {"reasoning": "Hm"}
        yield {"content": str(reply.message["content"]), "logprobs": {"content": [1]}}
        yield reply.model_copy(update={"logprobs": {"content": [1]}})


async def test_deltas_pass_as_they_come_and_log_probabilities_end_in_the_outcome() -> None:
    sink = RecordingSink()
    answer: dict[str, Any] = {"role": "assistant", "content": "Yes", "reasoning": "Hm"}
    result = await runner(Streaming([answer])).run(turn(stream=True), sink)
    assert sink.deltas == [{"reasoning": "Hm"}, {"content": "Yes", "logprobs": {"content": [1]}}]
    assert result.outcome.logprobs == {"content": [1]}
    assert result.outcome.message == answer
