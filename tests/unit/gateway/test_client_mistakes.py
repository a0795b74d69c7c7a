"""What a client wrote wrongly is its own mistake: an answer 400 that names the field, before a task is made of it."""

from __future__ import annotations

from typing import Any

import pytest

F = {"name": "f"}
TOOL = {"type": "function", "function": F}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{}]}, "tools.0.type"),
        ({"tools": [TOOL, {"type": "x"}]}, "tools.1.type"),
        ({"tools": ["f"]}, "tools.0"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {**F, "description": 1}}]}, "tools.0.function.description"),
        ({"tools": [{"type": "function", "function": {**F, "parameters": []}}]}, "tools.0.function.parameters"),
        (
            {"tools": [{"type": "function", "function": {**F, "parameters": {"properties": []}}}]},
            "tools.0.function.parameters",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": "f"}}, "tool_choice.function"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"tools": [TOOL], "tool_choice": {"function": F}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": "f"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": 1}, "tool_choice"),
        ({"functions": [{}]}, "functions.0.name"),
        ({"function_call": 3}, "function_call"),
        ({"stop": 3}, "stop"),
        ({"stop": [3]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"logit_bias": []}, "logit_bias"),
        ({"presence_penalty": 9}, "presence_penalty"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"max_tokens": 2**40}, "max_tokens"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(rig: Any, fields: dict[str, Any], param: str) -> None:
    answer = await rig.ask(**fields)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["code"] == "invalid_request"
    task = await rig.call("POST", "/api/v1/tasks", {"input": "x", "parameters": fields})
    assert (task.status_code, task.json()["param"]) == (422, param)
    assert rig.link.turns == []


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "x"}, "messages.0.content.0.type"),
        ({"type": "text"}, "messages.0.content.0.text"),
        ({"type": "image_url"}, "messages.0.content.0.image_url"),
        ({"type": "image_url", "image_url": "http://h/a.png"}, "messages.0.content.0.image_url"),
        ({"type": "image_url", "image_url": {}}, "messages.0.content.0.image_url.url"),
    ],
)
async def test_a_wrong_part_of_a_message_is_refused_by_name(rig: Any, part: dict[str, Any], param: str) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": [part]}]}
    answer = await rig.call("POST", "/v1/chat/completions", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "boss", "content": "x"}, ["messages.0.role", "'assistant'", "'user'"]),
        ({"role": "user", "content": 5}, ["messages.0.content", "string", "list"]),
        ({"role": "user", "content": [{}]}, ["messages.0.content.0.type", "required"]),
        ({"role": "user", "content": [{"type": "x"}]}, ["messages.0.content.0.type", "'image_url'"]),
    ],
)
async def test_an_error_says_what_the_field_takes(rig: Any, message: dict[str, Any], says: list[str]) -> None:
    answer = await rig.call("POST", "/v1/chat/completions", {"model": "auto", "messages": [message]})
    text = answer.json()["error"]["message"]
    assert all(word in text for word in says), text


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": F}},
        {"tools": [], "tool_choice": "none"},
        {"tool_choice": "required"},
        {"stop": "x", "seed": -1, "logprobs": True, "top_logprobs": 3, "frequency_penalty": -1.5},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
        {"functions": [F], "function_call": {"name": "f"}},
    ],
)
async def test_what_openai_documents_is_taken(rig: Any, fields: dict[str, Any]) -> None:
    answer = await rig.ask(**fields)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("given", ["0" * 5000, "9" * 5000, "99999999999", "-1", "x"])
async def test_an_event_id_that_cannot_be_is_refused(rig: Any, given: str) -> None:
    task = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()
    answer = await rig.call("GET", f"/api/v1/tasks/{task['id']}/events", **{"last-event-id": given})
    assert answer.status_code == 422
    assert answer.json()["param"] == "Last-Event-ID"


@pytest.mark.parametrize("strange", [b"\xff\xfe", "ä€".encode(), b"a\tb", b"a\x7f"])
async def test_a_request_id_that_is_not_printable_ascii_is_replaced(rig: Any, strange: bytes) -> None:
    answer = await rig.http.get("/version", headers={b"x-request-id": strange})
    assert answer.status_code == 200
    assert answer.headers.get_list("x-request-id")[0].startswith("req_")
