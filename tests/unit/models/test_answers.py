"""What endpoints answer, in every shape that was seen, comes out in OpenAI's form, or as a model's failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ModelFailed,
    ModelRateLimited,
    ModelRejected,
    QuotaExhausted,
)
from ossa.contracts.model import ModelReply
from ossa.models.answers import AnswerError, StreamedAnswer, read_completion
from ossa.models.failures import error_of, read_error
from ossa.models.json_reader import TextPieces, mended, read_json
from ossa.resilience.server_sent import EventDecoder

ENDPOINT = Endpoint(base_url="http://m/v1", model="m")
ASKED = [{"role": "user", "content": "hello"}]
REASONS = ("stop", "length", "tool_calls", "content_filter")

Call = dict[str, Any]


def call(name: Any = "f", arguments: Any = "{}", **more: Any) -> Call:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def piece(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None) -> Call:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found: Call = {"function": function}
    return found | {key: value for key, value in (("index", index), ("id", id)) if value is not None}


def whole(message: Any, finish: Any = "stop", **more: Any) -> ModelReply:
    document = {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    return read_completion(json.dumps(document).encode(), ENDPOINT, ASKED)


def streamed(*deltas: Any, finish: Any = "stop", done: bool = True) -> ModelReply:
    answer = StreamedAnswer(max_bytes=2**20)
    for delta in deltas:
        answer.add(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode())
    answer.add(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}).encode())
    answer.done = done
    return answer.reply(ENDPOINT, ASKED)


def made(reply: ModelReply) -> list[tuple[str, str]]:
    calls = reply.message.get("tool_calls") or ()
    return [(each["function"]["name"], each["function"]["arguments"]) for each in calls]


# Tool calls


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"city": "Oslo"}, '{"city":"Oslo"}'), ("", "{}"), (None, "{}"), ("null", "{}"), ('{"a": 1}', '{"a": 1}')],
)
def test_arguments_become_a_json_text(arguments: Any, text: str) -> None:
    raw = call(arguments=arguments)
    assert made(whole({"content": None, "tool_calls": [raw]}, "tool_calls")) == [("f", text)]
    assert made(streamed({"tool_calls": [{**raw, "index": 0}]}, finish="tool_calls")) == [("f", text)]


TWO = [("f", '{"a":1}'), ("g", '{"b":2}')]
STREAMS: dict[str, list[Call]] = {
    "by index": [piece(0, "x", "f", '{"a":'), piece(1, "y", "g", '{"b":'), piece(0, None, None, "1}"),
                 piece(1, None, None, "2}")],
    "names repeated": [piece(0, "x", "f", '{"a":'), piece(1, "y", "g", '{"b":'), piece(0, "x", "f", "1}"),
                       piece(1, "y", "g", "2}")],
    "all at index 0, ids": [piece(0, "x", "f", '{"a":1}'), piece(0, "y", "g", '{"b":2}')],
    "no index, ids": [piece(None, "x", "f", '{"a":1}'), piece(None, "y", "g", '{"b":2}')],
    "no index, no ids": [piece(None, None, "f", '{"a":1}'), piece(None, None, "g", '{"b":2}')],
    "index 0, no ids": [piece(0, None, "f", '{"a":1}'), piece(0, None, "g", '{"b":2}')],
    "interleaved by id alone": [piece(None, "x", "f", '{"a":'), piece(None, "y", "g", '{"b":'),
                                piece(None, "x", None, "1}"), piece(None, "y", None, "2}")],
    "an id for each piece": [piece(0, "x1", "f", '{"a":'), piece(0, "x2", None, "1}"), piece(1, "y1", "g", '{"b":'),
                             piece(1, "y2", None, "2}")],
    "index as a text": [piece("0", "x", "f", '{"a":1}'), piece("1", "y", "g", '{"b":2}')],
    "all of it once more": [piece(0, "x", "f", '{"a":'), piece(0, None, None, "1}"), piece(0, "x", "f", '{"a":1}'),
                            piece(1, "y", "g", '{"b":2}')],
    "arguments as objects": [piece(0, "x", "f", {"a": 1}), piece(1, "y", "g", {"b": 2})],
    "a name in pieces": [piece(0, "x", "f", None), piece(0, None, None, '{"a":1}'), piece(1, "y", "g", '{"b":2}')],
}  # fmt: skip


@pytest.mark.parametrize("form", STREAMS)
def test_streamed_calls_stay_apart(form: str) -> None:
    assert made(streamed(*({"tool_calls": [each]} for each in STREAMS[form]), finish="tool_calls")) == TWO


@pytest.mark.parametrize("ids", [("x", "y"), (None, None)])
def test_two_calls_of_one_tool_are_two(ids: tuple[str | None, str | None]) -> None:
    deltas = [piece(0, ids[0], "f", '{"a":1}'), piece(0, ids[1], "f", '{"a":2}')]
    assert made(streamed(*({"tool_calls": [each]} for each in deltas))) == [("f", '{"a":1}'), ("f", '{"a":2}')]


def test_a_name_may_come_in_pieces() -> None:
    deltas = [piece(0, "x", "get_"), piece(0, None, "weather"), piece(0, None, None, "{}")]
    assert made(streamed(*({"tool_calls": [each]} for each in deltas))) == [("get_weather", "{}")]


def test_the_first_form_of_a_call_is_read() -> None:
    assert made(whole({"content": None, "function_call": {"name": "f", "arguments": "{}"}})) == [("f", "{}")]
    deltas = [{"function_call": {"name": "f", "arguments": '{"a":'}}, {"function_call": {"arguments": "1}"}}]
    assert made(streamed(*deltas)) == [("f", '{"a":1}')]


@pytest.mark.parametrize(
    "calls", [None, [], "", "none", True, [None], {}, {"id": "c"}, [{"id": "c", "function": None}]]
)
def test_no_call_is_made_up(calls: Any) -> None:
    assert made(whole({"content": "x", "tool_calls": calls})) == []
    assert made(streamed({"content": "x"}, {"tool_calls": calls})) == []


@pytest.mark.parametrize(
    "calls", [7, [7], ["x"], [call(name=5)], [piece(0, "c", None, '{"a":1}')], [{"id": "c", "function": "f"}]]
)
def test_calls_that_cannot_be_read_are_the_model_s_failure(calls: Any) -> None:
    with pytest.raises(ModelFailed):
        whole({"content": "x", "tool_calls": calls})
    with pytest.raises(ModelFailed):
        streamed({"content": "x"}, {"tool_calls": calls})


# Contents and what else is said


def test_parts_become_text_and_thoughts() -> None:
    think = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    reply = whole({"content": [think, {"type": "text", "text": "Four."}]})
    assert (reply.message["content"], reply.message["reasoning_content"]) == ("Four.", "hm")
    reply = streamed({"content": [think]}, {"content": [{"type": "text", "text": "Fo"}]}, {"content": "ur."})
    assert (reply.message["content"], reply.message["reasoning_content"]) == ("Four.", "hm")


@pytest.mark.parametrize(("content", "text"), [(4, "4"), ({"text": "x"}, "x"), (["a", "b"], "ab"), (None, "")])
def test_other_contents_become_text(content: Any, text: str) -> None:
    assert whole({"content": content}).message["content"] == text


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "refusal"])
def test_texts_beside_the_answer_are_kept(name: str) -> None:
    assert whole({"content": "4", name: "2+2"}).message[name] == "2+2"
    assert streamed({name: "2+"}, {name: "2"}, {"content": "4"}).message[name] == "2+2"


def test_details_and_logprobs_are_kept() -> None:
    details = [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.text", "text": "b"}]
    reply = streamed({"reasoning_details": details[:1]}, {"reasoning_details": details[1:]}, {"content": "x"})
    assert reply.message["reasoning_details"] == details
    answer = StreamedAnswer(max_bytes=2**20)
    for token in "ab":
        choice = {"delta": {"content": token}, "logprobs": {"content": [{"token": token, "logprob": -1}]}}
        answer.add(json.dumps({"choices": [choice]}).encode())
    answer.done = True
    found = answer.reply(ENDPOINT, ASKED).logprobs
    assert found is not None
    assert [each["token"] for each in found["content"]] == ["a", "b"]


# Reasons to finish


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("STOP", "stop"), ("", "stop"), (None, "stop"),
     ("MAX_TOKENS", "length"), ("length", "length"), ("SAFETY", "content_filter"), ("tool_use", "stop"),
     ({"type": "stop", "matched": 2}, "stop"), ("never heard of", "stop")],
)  # fmt: skip
def test_reasons_become_openai_s(said: Any, reason: str) -> None:
    assert whole({"content": "x"}, said).finish_reason == reason
    assert streamed({"content": "x"}, finish=said).finish_reason == reason


def test_stop_beside_calls_means_that_they_are_to_be_run() -> None:
    assert whole({"content": None, "tool_calls": [call()]}, "stop").finish_reason == "tool_calls"
    assert streamed({"tool_calls": [call(index=0)]}, finish="stop").finish_reason == "tool_calls"


def test_an_answer_without_a_reason_is_whole_when_the_stream_says_so_and_not_when_it_broke_off() -> None:
    assert streamed({"content": "All"}, finish=None).message["content"] == "All"
    with pytest.raises(ModelFailed, match="ended before"):
        streamed({"content": "All"}, finish=None, done=False)
    with pytest.raises(ModelFailed, match="ended before"):
        streamed(finish=None)


# Errors


def said_inside(body: Any) -> AnswerError:
    with pytest.raises(AnswerError) as raised:
        read_completion(json.dumps(body).encode(), ENDPOINT, ASKED)
    with pytest.raises(AnswerError) as again:
        StreamedAnswer(max_bytes=2**20).add(json.dumps(body).encode())
    assert type(again.value.error) is type(raised.value.error)
    return raised.value


LONG = "This model's maximum context length is 4096 tokens."
CHOICE = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("body", "kind", "again"),
    [
        ({"error": {"message": "Provider returned error: overloaded", "code": 502}}, ModelFailed, True),
        ({"error": "overloaded"}, ModelFailed, True),
        ({"error": {"message": LONG, "code": "context_length_exceeded"}}, ContextLengthExceeded, False),
        ({"object": "error", "message": "context too long", "type": "BadRequestError", "code": 40303},
         ModelRejected, False),
        ({"error": {"message": "no"}, "choices": [CHOICE]}, ModelFailed, True),
        ({"choices": [{**CHOICE, "error": {"code": 429, "message": "slow down"}}]}, ModelRateLimited, True),
        ({"choices": [{**CHOICE, "finish_reason": "error"}]}, ModelFailed, True),
        ({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
         QuotaExhausted, False),
        ({"error": {"message": "filtered", "code": "content_filter"}}, ContentFiltered, False),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ModelFailed, True),
    ],
)  # fmt: skip
def test_errors_inside_an_answer_keep_their_meaning(body: Any, kind: type, again: bool) -> None:
    failed = said_inside(body)
    assert type(failed.error) is kind
    assert failed.again is again


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500, 503])
def test_errors_by_status(status: int) -> None:
    said = read_error({"error": {"message": "something", "type": "t", "code": "c", "param": "p"}})
    error, again = error_of(said, status, after_s=3.0, where="it answered")
    expected = {400: ModelRejected, 413: ModelRejected, 422: ModelRejected, 429: ModelRateLimited}
    assert type(error) is expected.get(status, ModelFailed)
    assert again is (status in (429, 500, 503))
    assert error.details == {"upstream_status": status, "upstream_code": "c", "upstream_type": "t"}
    assert error.param == ("p" if status < 429 else None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": LONG, "code": "context_length_exceeded"}}, ContextLengthExceeded),
        (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 250000 tokens"}},
         ContextLengthExceeded),
        (400, [{"error": {"code": 400, "message": "The input token count (99) exceeds the maximum", "status":
                          "INVALID_ARGUMENT"}}], ContextLengthExceeded),
        (400, {"error": {"code": "content_filter", "message": "m", "innererror":
                         {"code": "ResponsibleAIPolicyViolation"}}}, ContentFiltered),
        (429, {"error": {"code": "insufficient_quota", "message": "quota"}}, QuotaExhausted),
        (402, {"error": {"message": "Insufficient Balance"}}, QuotaExhausted),
        (401, {"error": {"message": "bad key"}}, ModelFailed),
        (404, {"detail": "Not Found"}, ModelFailed),
    ],
)  # fmt: skip
def test_context_filter_and_quota_are_told_apart(status: int, body: Any, kind: type) -> None:
    error, again = error_of(read_error(body), status, where="it answered")
    assert type(error) is kind
    assert not again


def test_what_an_endpoint_says_of_our_account_is_not_for_the_caller() -> None:
    for status in (401, 402, 403):
        error, _ = error_of(read_error({"error": {"message": "key sk-123"}}), status, where="it answered")
        assert "sk-123" not in error.message


# Bytes


def test_json_is_read_leniently_where_it_is_not_strict() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": NaN, "b": -Infinity}') == {"a": None, "b": None}
    assert read_json(b'{"a": "\xff"}') == {"a": "\ufffd"}
    assert mended(read_json(b'{"a": "x\\ud83d"}')) == {"a": "x\ufffd"}
    with pytest.raises(ValueError, match="deep"):
        read_json(b"[" * 100_000)
    with pytest.raises(ValueError):
        read_json(b"<html>")


def test_a_character_cut_in_two_is_joined() -> None:
    text = TextPieces()
    shown = [text.add(each) for each in ("hi \ud83d", "\ude00!", "\ud83d", "x")]
    assert shown == ["hi ", "\U0001f600!", "", "\ufffdx"]
    assert text.whole() == "hi \U0001f600!\ufffdx"
    answer = StreamedAnswer(max_bytes=1000)
    assert answer.add(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}') == "a"
    assert answer.add(b'{"choices":[{"delta":{"content":"\\ude00"},"finish_reason":"stop"}]}') == "\U0001f600"


@pytest.mark.parametrize("beat", [b"", b"  ", b"[]", b'"ping"', b"1", b"null", b'{"type": "ping"}'])
def test_heartbeats_add_nothing(beat: bytes) -> None:
    answer = StreamedAnswer(max_bytes=1000)
    assert answer.add(beat) == ""


def test_the_last_event_needs_no_blank_line() -> None:
    decoder = EventDecoder()
    assert [event.data for event in decoder.feed(b"data: a\n\ndata: b")] == [b"a"]
    assert [event.data for event in decoder.finish()] == [b"b"]
    assert decoder.finish() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "id", "index", "usage",
     "error", "finish_reason", "text", "type", "logprobs", "model", "function_call", "prompt_tokens"]
)  # fmt: skip
SHAPES = st.recursive(
    JSON | st.sampled_from(["stop", "{}", "f", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD, inner, max_size=5),
    max_leaves=20,
)


@given(
    message=SHAPES, choice=st.dictionaries(FIELD, SHAPES, max_size=3), top=st.dictionaries(FIELD, SHAPES, max_size=3)
)
def test_no_shape_raises_anything_but_a_failure_of_the_model(message: Any, choice: Any, top: Any) -> None:
    for key in ("message", "delta"):
        body = json.dumps({**top, "choices": [{**choice, key: message}]}).encode()
        for read in (_read_whole, _read_streamed):
            try:
                reply = read(body)
            except (ModelFailed, AnswerError):
                continue
            assert reply.finish_reason in REASONS
            assert isinstance(reply.message["content"], str | None)
            reply.json_bytes()
            for each in reply.message.get("tool_calls", ()):
                assert each["function"]["name"]
                assert isinstance(each["function"]["arguments"], str)


def _read_whole(body: bytes) -> ModelReply:
    return read_completion(body, ENDPOINT, ASKED)


def _read_streamed(body: bytes) -> ModelReply:
    answer = StreamedAnswer(max_bytes=2**20)
    answer.done = True
    answer.add(body)
    return answer.reply(ENDPOINT, ASKED)


@given(lines=st.lists(st.binary(max_size=12) | st.sampled_from([b"data: a", b"data:b", b"", b": c", b"event: e"])),
       ends=st.sampled_from([b"\n", b"\r\n", b"\r"]), cuts=st.lists(st.integers(1, 5)))  # fmt: skip
def test_events_do_not_depend_on_where_the_bytes_are_cut(lines: list[bytes], ends: bytes, cuts: list[int]) -> None:
    stream = ends.join(lines)
    once, cut = EventDecoder(), EventDecoder()
    expected = [*once.feed(stream), *once.finish()]
    found = []
    position = 0
    for size in [*cuts, len(stream) + 1]:
        found += cut.feed(stream[position : position + size])
        position += size
    assert [*found, *cut.finish()] == expected
