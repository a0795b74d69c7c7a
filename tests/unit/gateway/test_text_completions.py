"""OpenAI's older address, as its official client uses it."""

from __future__ import annotations

from typing import Any

import openai
import pytest


async def test_a_prompt_is_answered(rig: Any) -> None:
    answer = await rig.openai.completions.create(model="auto", prompt="hi", max_tokens=9)
    assert (answer.object, answer.choices[0].text) == ("text_completion", "Hello from a fake agent.")
    assert (answer.choices[0].finish_reason, answer.usage.total_tokens) == ("stop", 12)
    request = rig.link.turns[0][1].request
    assert request.messages == [{"role": "user", "content": "hi"}]
    assert request.parameters == {"max_tokens": 9}


async def test_it_streams(rig: Any) -> None:
    stream = await rig.openai.completions.create(
        model="auto", prompt=["hi"], stream=True, echo=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "hiHello from a fake agent."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 12
    assert {chunk.object for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "x", "n": 2}, "n"),
        ({"prompt": "x", "best_of": 3}, "best_of"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "logprobs": 2}, "logprobs"),
        ({"prompt": "x", "echo": "yes"}, "echo"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(rig: Any, body: Any, param: str) -> None:
    answer = await rig.call("POST", "/v1/completions", {"model": "auto", **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    with pytest.raises(openai.NotFoundError):
        await rig.openai.completions.create(model="pool/nope", prompt="x")
