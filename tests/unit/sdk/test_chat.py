"""Putting a streamed answer together."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ossa.contracts.errors import AgentLost
from ossa.resilience.server_sent import ServerEvent
from ossa.sdk.chat import ChatAssembly
from ossa.sdk.errors import UnexpectedAnswer


def assembly(*chunks: dict[str, Any] | str) -> ChatAssembly:
    made = ChatAssembly(httpx.Headers({"x-ossa-agent": "a-001"}))
    for chunk in chunks:
        made.take(ServerEvent((chunk if isinstance(chunk, str) else json.dumps(chunk)).encode()))
    return made


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def test_tool_calls_for_the_caller_are_put_together_from_their_parts() -> None:
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
    second = {"index": 1, "id": "c2", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    answer = assembly(
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}, second]),
        delta("tool_calls"),
        "[DONE]",
    ).answer()
    assert [(call["id"], call["function"]) for call in answer.message["tool_calls"]] == [
        ("c1", {"name": "look", "arguments": '{"a": 1}'}),
        ("c2", {"name": "find", "arguments": "{}"}),
    ]
    assert (answer.text, answer.finish_reason, answer.agent) == ("", "tool_calls", "a-001")


def test_usage_and_cost_come_with_the_last_chunk() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost_usd": 0.25}
    answer = assembly(delta(content="x"), delta("stop"), {"choices": [], "usage": usage}, "[DONE]").answer()
    assert (answer.usage.total_tokens, answer.cost_usd) == (7, 0.25)


def test_an_error_in_the_stream_is_raised_as_what_it_is() -> None:
    made = assembly(delta(content="x"))
    with pytest.raises(AgentLost, match="task goes on"):
        made.take(ServerEvent(data=b'{"error": {"message": "the task goes on", "code": "agent_lost", "param": null}}'))


@pytest.mark.parametrize("chunks", [[], [delta(content="half")]])
def test_a_stream_without_an_end_has_no_answer(chunks: list[dict[str, Any]]) -> None:
    with pytest.raises(UnexpectedAnswer, match="ended before"):
        assembly(*chunks).answer()


@pytest.mark.parametrize("data", ["not json", "[1]", "null"])
def test_an_event_that_is_no_object_is_named(data: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        assembly(data)
