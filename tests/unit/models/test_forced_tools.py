from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from ossa.contracts.configuration import Endpoint
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.models.client import ModelClients, OpenAIClient
from ossa.models.forced_tools import ForcedTools
from ossa.testing.models.client import ScriptedModel

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Does sums.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
NAMED = {"type": "function", "function": {"name": "calculator"}}


def asking(**parameters: Any) -> ModelRequest:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": '[[say:{"expression":"1+1"}]]'}]
    return ModelRequest(model="m", messages=messages, parameters=parameters)


@pytest.mark.parametrize(
    "tools", [{"tool_choice": NAMED, "tools": [CLOCK, CALCULATOR]}, {"tool_choice": "required", "tools": [CALCULATOR]}]
)
async def test_a_forced_call_becomes_an_answer_held_to_the_arguments_schema(tools: dict[str, Any]) -> None:
    model = ScriptedModel()
    reply = await ForcedTools(model).complete(asking(**tools, seed=1, max_tokens=9))
    sent = model.requests[0]
    assert sent.parameters.keys() == {"seed", "max_tokens", "temperature", "response_format"}
    assert sent.parameters["max_tokens"] == 9
    assert sent.parameters["response_format"]["json_schema"]["schema"] == CALCULATOR["function"]["parameters"]  # type: ignore[index]
    assert [message["role"] for message in sent.messages] == ["system", "user"]
    assert "calculator. Does sums." in sent.messages[0]["content"]
    assert reply.finish_reason == "tool_calls"
    assert reply.message["tool_calls"][0]["function"] == {"name": "calculator", "arguments": '{"expression":"1+1"}'}


@pytest.mark.parametrize(
    "tools",
    [
        {},
        {"tools": [CALCULATOR]},
        {"tools": [CALCULATOR], "tool_choice": "auto"},
        {"tools": [CALCULATOR, CLOCK], "tool_choice": "required"},
        {"tools": [CLOCK], "tool_choice": NAMED},
        {"tools": [{"type": "function"}], "tool_choice": "required"},
        {"tools": [{"type": "function", "function": {}}], "tool_choice": NAMED},
        {"tools": ["x", {}], "tool_choice": "required"},
        {"tools": [CLOCK], "tool_choice": {"type": "function", "function": "f"}},
    ],
)
async def test_a_call_that_is_not_forced_to_one_tool_passes_unchanged(tools: dict[str, Any]) -> None:
    model = ScriptedModel()
    request = asking(**tools)
    client = ForcedTools(model)
    await client.complete(request)
    pieces = [piece async for piece in client.stream(request)]
    assert model.requests == [request, request]
    assert len(pieces) > 1


async def test_a_forced_call_streams_no_text() -> None:
    pieces = [
        piece async for piece in ForcedTools(ScriptedModel()).stream(asking(tools=[CALCULATOR], tool_choice=NAMED))
    ]
    assert len(pieces) == 1
    assert isinstance(pieces[0], ModelReply)
    assert pieces[0].message["tool_calls"]


async def test_a_process_has_one_client_an_endpoint() -> None:
    clients = ModelClients()
    plain = Endpoint(base_url="http://h/v1", model="m", api_key=SecretStr("a"))
    assert clients(plain) is clients(plain.model_copy())
    assert clients(plain) is not clients(plain.model_copy(update={"api_key": SecretStr("b")}))
    assert isinstance(clients(plain), OpenAIClient)
    assert isinstance(clients(plain.model_copy(update={"forced_tools": "schema"})), ForcedTools)
    await clients.close()
