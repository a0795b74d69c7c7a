"""A conversation's messages as endpoints take them: one system message, first."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.agent.conversation import Conversation
from ossa.contracts.task import TaskRequest

CACHED = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
USER = {"role": "user", "content": "Hi"}


def sent(role: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    return Conversation(role, TaskRequest(messages=list(messages)), (), agent_id="a").messages()


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("content", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
@pytest.mark.parametrize("place", [0, 1])
def test_instructions_are_joined_to_the_agent_s_role(role: str, content: Any, place: int) -> None:
    messages = [USER]
    messages.insert(place, {"role": role, "content": content})
    assert sent("You help.", *messages) == [{"role": "system", "content": "You help.\n\nBe brief."}, USER]


def test_several_instructions_keep_their_order_and_an_agent_without_a_role_adds_none() -> None:
    first, second = {"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}
    assert sent("", first, USER, second) == [{"role": "system", "content": "One.\n\nTwo."}, USER]
    assert sent("", USER) == [USER]


def test_what_a_part_says_beside_its_text_is_kept() -> None:
    (system, _) = sent("You help.", {"role": "system", "content": [CACHED]}, USER)
    assert system["content"] == [{"type": "text", "text": "You help."}, CACHED]


def test_the_results_of_the_caller_s_tools_are_named_by_their_place_in_the_request() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "One."},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "12"},
    ]
    entries = Conversation("You help.", TaskRequest(messages=messages), (), agent_id="a").entries()
    assert [(entry.key, entry.name) for entry in entries if entry.key] == [("request/3", "f")]
