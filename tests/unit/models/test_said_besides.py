"""What a streamed answer holds besides its text is shown as it comes, and is in the reply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ossa.contracts.configuration import Endpoint
from ossa.contracts.task import Delta, Usage
from ossa.models.answers import StreamedAnswer
from ossa.models.usage import read_usage

ENDPOINT = Endpoint(base_url="http://m/v1", model="m")


def fed(*choices: dict[str, Any]) -> tuple[list[Delta], dict[str, Any], Any]:
    answer = StreamedAnswer(max_bytes=2**20)
    shown = [answer.add(json.dumps({"choices": [{"index": 0, **choice}]}).encode()) for choice in choices]
    answer.done = True
    reply = answer.reply(ENDPOINT, [])
    return [delta for delta in shown if delta], reply.message, reply.logprobs


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "refusal"])
def test_a_text_beside_the_content_is_shown_in_its_pieces(field: str) -> None:
    deltas = [{"role": "assistant", field: "2+2"}, {field: " is"}, {"content": "4", field: None}]
    shown, message, _ = fed(*({"delta": delta} for delta in deltas))
    assert shown == [{field: "2+2"}, {field: " is"}, "4"]
    assert (message[field], message["content"]) == ("2+2 is", "4")


def test_thoughts_among_the_parts_of_a_content_are_shown_as_reasoning() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    shown, message, _ = fed({"delta": {"content": [thought]}}, {"delta": {"content": [{"type": "text", "text": "4"}]}})
    assert shown == [{"reasoning_content": "Hm"}, "4"]
    assert message == {"role": "assistant", "content": "4", "reasoning_content": "Hm"}


def test_log_probabilities_are_shown_with_their_text() -> None:
    lists = [{"content": [{"token": "Y"}], "refusal": None}, {"content": [{"token": "es"}]}]
    shown, _, logprobs = fed(*({"delta": {"content": "Y"}, "logprobs": each} for each in lists))
    assert shown[0] == {"content": "Y", "logprobs": {"content": [{"token": "Y"}]}}
    assert logprobs == {"content": [{"token": "Y"}, {"token": "es"}]}


def test_pieces_of_one_detail_become_one_and_keep_their_signature() -> None:
    def detail(index: int, **more: Any) -> dict[str, Any]:
        return {"delta": {"reasoning_details": [{"type": "reasoning.text", "index": index, **more}]}}

    shown, message, _ = fed(
        detail(0, text="I "),
        detail(0, text="think", signature=None),
        detail(0, text="", signature="s"),
        detail(1, text="b"),
    )
    assert len(shown) == 4
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "I think", "signature": "s"},
        {"type": "reasoning.text", "index": 1, "text": "b"},
    ]


def test_halves_of_a_character_are_joined_in_other_fields_too() -> None:
    shown, message, _ = fed({"delta": {"reasoning": "a\ud83d"}}, {"delta": {"reasoning": "\ude00", "content": "b"}})
    assert shown == [{"reasoning": "a"}, {"reasoning": "\U0001f600", "content": "b"}]
    assert message["reasoning"] == "a\U0001f600"


@pytest.mark.parametrize(
    ("said", "reasoning", "audio", "prompt_audio"),
    [
        ({"completion_tokens_details": {"reasoning_tokens": 90, "audio_tokens": 5}}, 90, 5, 0),
        ({"prompt_tokens_details": {"audio_tokens": 7}, "completion_tokens_details": None}, 0, 0, 7),
        ({"output_tokens_details": {"reasoning_tokens": "90"}}, 90, 0, 0),
        ({"reasoning_tokens": 90.0}, 90, 0, 0),
        ({"completion_tokens_details": {"reasoning_tokens": 10**12}}, 100, 0, 0),
        ({"completion_tokens_details": [1]}, 0, 0, 0),
    ],
)
def test_the_kinds_of_tokens_are_read(said: dict[str, Any], reasoning: int, audio: int, prompt_audio: int) -> None:
    usage = read_usage({"prompt_tokens": 1000, "completion_tokens": 100, **said}, ENDPOINT, [], {})
    assert (usage.reasoning_tokens, usage.audio_tokens, usage.prompt_audio_tokens) == (reasoning, audio, prompt_audio)
    twice = usage.plus(usage)
    assert (twice.reasoning_tokens, twice.audio_tokens) == (2 * reasoning, 2 * audio)


def test_a_usage_without_details_is_written_as_it_always_was() -> None:
    assert b"reasoning" not in Usage(prompt_tokens=1).json_bytes()
    assert b"audio" not in Usage(prompt_tokens=1).json_bytes()
    assert Usage.model_validate_json(b'{"prompt_tokens":1}').reasoning_tokens == 0
