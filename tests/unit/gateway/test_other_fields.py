"""What a model says besides its text reaches the client, streamed too, and a stream begins before the model does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Delta, ErrorInfo, Outcome, TaskStatus, Turn, Usage
from ossa.contracts.turn import OnDelta, OnSteps, TurnResult
from ossa.gateway.listener import Listener, StreamedFields
from ossa.testing.gateway import FakeLink, eventually, fake_agent

YES = {"token": "Yes", "logprob": -0.1, "bytes": [89], "top_logprobs": []}
NO = {**YES, "token": "No"}
ASKED: list[Any] = [{"role": "user", "content": "hi"}]


class SayingLink(FakeLink):
    """Its agents say these deltas, and end so."""

    def __init__(self, deltas: Sequence[Delta], outcome: Outcome) -> None:
        super().__init__()
        self._deltas = deltas
        self._ends = outcome

    async def _run(self, agent: AgentInfo, turn: Turn, on_delta: OnDelta, on_steps: OnSteps) -> TurnResult:
        for delta in self._deltas if turn.stream else ():
            await on_delta(delta)
        return TurnResult(outcome=self._ends)


def ended(message: dict[str, Any], **more: Any) -> Outcome:
    return Outcome(
        status=TaskStatus.SUCCEEDED, message={"role": "assistant", **message}, finish_reason="stop", model="m", **more
    )


THOUGHT = ended(
    {"content": "4", "reasoning_content": "2+2 is", "annotations": [{"type": "url_citation"}]},
    logprobs={"content": [YES]},
    usage=Usage(prompt_tokens=9, completion_tokens=8, reasoning_tokens=6, audio_tokens=1, prompt_audio_tokens=2),
)
DELTAS: list[Delta] = [
    {"reasoning_content": "2+2"},
    {"reasoning_content": " is"},
    {"content": "4", "logprobs": {"content": [YES]}},
]


async def _streamed(rig: Any, **more: Any) -> list[Any]:
    stream = await rig.openai.chat.completions.create(
        model="auto", messages=ASKED, stream=True, stream_options={"include_usage": True}, **more
    )
    return [chunk async for chunk in stream]


def _joined(chunks: Sequence[Any], name: str) -> str:
    return "".join(getattr(chunk.choices[0].delta, name, None) or "" for chunk in chunks if chunk.choices)


async def test_the_openai_client_reads_all_that_a_model_said(open_rig: Any) -> None:
    rig = await open_rig(link=SayingLink([], THOUGHT))
    answer = await rig.openai.chat.completions.create(model="auto", messages=ASKED, logprobs=True)
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("4", "2+2 is")
    assert answer.choices[0].logprobs.content[0].token == "Yes"
    assert answer.usage.completion_tokens_details.reasoning_tokens == 6
    assert answer.usage.completion_tokens_details.audio_tokens == 1
    assert answer.usage.prompt_tokens_details.audio_tokens == 2


@pytest.mark.parametrize("deltas", [DELTAS, DELTAS[:1], []], ids=["as it came", "in part", "not at all"])
async def test_a_stream_says_all_that_a_model_said_once(open_rig: Any, deltas: list[Delta]) -> None:
    rig = await open_rig(link=SayingLink(deltas, THOUGHT))
    chunks = await _streamed(rig, logprobs=True)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (_joined(chunks, "content"), _joined(chunks, "reasoning_content")) == ("4", "2+2 is")
    logprobs = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert [token.token for each in logprobs for token in each.content] == ["Yes"]
    notes = [getattr(chunk.choices[0].delta, "annotations", None) for chunk in chunks if chunk.choices]
    assert [note for note in notes if note] == [[{"type": "url_citation"}]]
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 6


async def test_a_refusal_is_streamed(open_rig: Any) -> None:
    refusal = ended({"content": None, "refusal": "I can't."})
    rig = await open_rig(link=SayingLink([{"refusal": "I "}, {"refusal": "can't."}], refusal))
    assert _joined(await _streamed(rig), "refusal") == "I can't."


async def test_an_answer_given_again_has_its_log_probabilities(open_rig: Any) -> None:
    rig = await open_rig(link=SayingLink(DELTAS, THOUGHT))
    key = {"idempotency-key": "k"}
    first = await rig.ask(headers=key)
    again = await rig.ask(headers=key)
    assert again.json()["choices"] == first.json()["choices"]
    assert again.json()["choices"][0]["logprobs"] == {"content": [YES]}


# A step that is done again


def test_fields_of_a_step_done_again_are_skipped_as_far_as_they_were_sent() -> None:
    fields = StreamedFields()
    assert fields.feed({"reasoning": "I think", "notes": [1]}) == {"reasoning": "I think", "notes": [1]}
    fields.restart()
    assert fields.feed({"reasoning": "I th"}) == {}
    assert fields.feed({"reasoning": "ink so", "notes": [1, 2]}) == {"reasoning": " so", "notes": [2]}
    assert fields.close({"reasoning": "I think so.", "notes": [1, 2], "refusal": None, "id": 7}) == {
        "reasoning": ".",
        "id": 7,
    }


def test_a_field_that_goes_another_way_ends_and_the_text_goes_on() -> None:
    listener = Listener()

    async def turn() -> None:
        listener.started(fake_agent("a-000"))
        await listener.delta({"reasoning": "Perhaps"})
        await listener.delta("He")
        listener.started(fake_agent("a-001"))
        await listener.delta({"reasoning": "Surely", "content": "Hel"})
        await listener.delta("lo")
        listener.ended(ended({"content": "Hello", "reasoning": "Surely"}))

    asyncio.run(turn())
    pieces = [listener.pieces.get_nowait() for _ in range(listener.pieces.qsize())]
    assert pieces == [{"reasoning": "Perhaps"}, "He", "l", "lo", None]
    assert not listener.diverged


def test_a_later_step_says_its_own_fields() -> None:
    fields = StreamedFields()
    fields.feed({"reasoning": "First."})
    assert fields.settle({"reasoning": "First. More.", "refusal": "never shown"}) == {"reasoning": " More."}
    assert fields.feed({"reasoning": "Second."}) == {"reasoning": "Second."}


# The first byte


@asynccontextmanager
async def _raw_stream(rig: Any) -> AsyncIterator[asyncio.Queue[Any]]:
    """A streamed chat whose ASGI messages are seen as they are sent. The client hangs up at the end."""
    sent: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()
    body = orjson.dumps({"model": "auto", "messages": ASKED, "stream": True})
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if given:
            return given.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {rig.secret}".encode()), (b"host", b"gateway")],
        "client": ("test", 1), "server": ("gateway", 80),
    }  # fmt: skip
    running = asyncio.create_task(rig.app(scope, receive, sent.put))
    try:
        async with asyncio.timeout(20):
            yield sent
    finally:
        gone.set()
        await asyncio.wait((running,), timeout=20)


async def _rest(sent: asyncio.Queue[Any]) -> bytes:
    whole = b""
    while True:
        message = await sent.get()
        whole += message["body"]
        if not message["more_body"]:
            return whole


async def test_a_stream_begins_while_the_model_is_still_silent(open_rig: Any) -> None:
    rig = await open_rig(link=SilentLink(), first_byte_s=0.01)
    async with _raw_stream(rig) as sent:
        start = await sent.get()
        assert start["status"] == 200
        assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert (await sent.get())["body"] == b": keep-alive\n\n"
        rig.link.speaks.set()
        rest = await _rest(sent)
    assert rest.count(b'"role":"assistant"') == 1
    assert b"Hello" in rest
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_failure_after_the_first_byte_is_an_error_event(open_rig: Any) -> None:
    rig = await open_rig(link=SilentLink(), first_byte_s=0.01)
    error = ErrorInfo(code="model_failed", message="The endpoint is down.")
    rig.link.fails = Outcome(status=TaskStatus.FAILED, error=error)
    async with _raw_stream(rig) as sent:
        await sent.get()
        await sent.get()
        rig.link.speaks.set()
        rest = await _rest(sent)
    event = orjson.loads(rest.removeprefix(b"data: "))
    assert event["error"]["code"] == "model_failed"
    assert "The endpoint is down." in event["error"]["message"]


async def test_a_failure_before_it_is_a_status(open_rig: Any) -> None:
    rig = await open_rig(link=SilentLink(), first_byte_s=600)
    rig.link.fails = Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="model_failed", message="Down."))
    rig.link.speaks.set()
    async with _raw_stream(rig) as sent:
        assert (await sent.get())["status"] == 502


async def test_a_client_that_goes_before_the_model_speaks_cancels_its_task(open_rig: Any) -> None:
    rig = await open_rig(link=SilentLink(), first_byte_s=0.01)
    async with _raw_stream(rig) as sent:
        await sent.get()
        await sent.get()
    await eventually(lambda: rig.link.cancelled)


class SilentLink(FakeLink):
    """Its agents say nothing before `speaks`."""

    def __init__(self) -> None:
        super().__init__()
        self.speaks = asyncio.Event()
        self.fails: Outcome | None = None

    async def _run(self, agent: AgentInfo, turn: Turn, on_delta: OnDelta, on_steps: OnSteps) -> TurnResult:
        await self.speaks.wait()
        if self.fails is not None:
            return TurnResult(outcome=self.fails)
        return await super()._run(agent, turn, on_delta, on_steps)
