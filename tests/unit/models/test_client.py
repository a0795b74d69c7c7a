"""The OpenAI client against the scripted server (a real socket on 127.0.0.1) and against rude servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed, ModelRejected, TimedOut
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.models.client import OpenAIClient
from ossa.testing.models.server import ScriptedModelServer
from tests.support.clock import ManualClock


def asking(text: str, timeout_s: float = 10, **parameters: object) -> ModelRequest:
    messages = [{"role": "user", "content": text}]
    return ModelRequest(model="m", messages=messages, parameters=parameters, timeout_s=timeout_s)


def endpoint(base_url: str, **changes: object) -> Endpoint:
    return Endpoint(**{"base_url": base_url, "model": "m", "backoff_s": 0.001, **changes})


@asynccontextmanager
async def serving(
    clock: ManualClock | None = None, **changes: object
) -> AsyncIterator[tuple[ScriptedModelServer, OpenAIClient]]:
    async with ScriptedModelServer() as server:
        client = OpenAIClient(endpoint(server.base_url, **changes), clock=clock)
        yield server, client
        await client.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def rude(handler: Handler, clock: ManualClock | None = None, **changes: object) -> AsyncIterator[OpenAIClient]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = OpenAIClient(endpoint(f"http://127.0.0.1:{port}/v1", **{"max_retries": 0, **changes}), clock=clock)
    yield client
    await client.close()
    server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def collect(client: OpenAIClient, request: ModelRequest) -> tuple[list[str], ModelReply]:
    pieces: list[str] = []
    reply: ModelReply | None = None
    async for piece in client.stream(request):
        if isinstance(piece, ModelReply):
            assert reply is None
            reply = piece
        else:
            pieces.append(piece)
    assert reply is not None
    return pieces, reply


async def test_a_whole_answer_comes_with_its_usage_and_price() -> None:
    async with serving(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0) as (_, client):
        reply = await client.complete(asking("hello"))
    assert reply.message == {"role": "assistant", "content": "echo: hello"}
    assert reply.finish_reason == "stop"
    assert reply.usage.model_calls == 1
    expected = (reply.usage.prompt_tokens + 2 * reply.usage.completion_tokens) / 1e6
    assert reply.usage.cost_usd == pytest.approx(expected)
    assert expected > 0


async def test_a_stream_yields_pieces_and_then_the_reply_once() -> None:
    async with serving() as (server, client):
        pieces, reply = await collect(client, asking("hello there you"))
        again, _ = await collect(client, asking("hello there you"))
        assert server.counters.connections == 1
    assert "".join(pieces) == reply.message["content"] == "echo: hello there you"
    assert len(pieces) > 2
    assert pieces == again
    assert reply.usage.prompt_tokens > 0


async def test_streamed_tool_calls_are_put_together() -> None:
    async with serving() as (_, client):
        pieces, reply = await collect(client, asking('[[tool:calculator {"expression": "1+[2][0]"}]]+[[tool:clock]]'))
    assert pieces == []
    assert reply.finish_reason == "tool_calls"
    calls = reply.message["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["calculator", "clock"]
    assert calls[0]["function"]["arguments"] == '{"expression": "1+[2][0]"}'


async def test_connections_are_kept_alive() -> None:
    async with serving() as (server, client):
        for _ in range(5):
            await client.complete(asking("x"))
        assert server.counters.connections == 1


async def test_a_kept_connection_that_the_peer_closed_is_replaced_without_a_retry() -> None:
    async with serving(max_retries=0) as (server, client):
        await client.complete(asking("x"))
        server.close_connections()
        reply = await client.complete(asking("y"))
        assert reply.message["content"] == "echo: y"


@pytest.mark.parametrize("script", ["[[fail:503:2]] x", "[[fail:429:2:0]] x", "[[fail:408:2]] x", "[[drop:2]] x"])
async def test_passing_failures_are_retried(script: str) -> None:
    async with serving(max_retries=3) as (server, client):
        reply = await client.complete(asking(script))
        assert reply.message["content"] == "echo: x"
        assert server.counters.calls == 3


async def test_a_stream_is_retried_before_its_first_piece() -> None:
    async with serving() as (server, client):
        _, reply = await collect(client, asking("[[fail:500:1]] x"))
        assert reply.message["content"] == "echo: x"
        assert server.counters.calls == 2


async def test_a_stream_is_never_retried_once_it_has_yielded() -> None:
    async with serving() as (server, client):
        pieces: list[object] = []
        with pytest.raises(ModelFailed, match="broke off"):
            async for piece in client.stream(asking("[[cut:2]] one two three four five")):
                pieces += [piece]
        assert pieces
        assert server.counters.calls == 1


async def test_retries_end_and_the_last_error_tells_the_status() -> None:
    async with serving(max_retries=2) as (server, client):
        with pytest.raises(ModelFailed, match="503: failed on purpose") as raised:
            await client.complete(asking("[[fail:503:9]]"))
        assert raised.value.details["upstream_status"] == 503
        assert server.counters.calls == 3


async def test_what_is_billed_once_is_tried_again_only_where_nothing_was_billed() -> None:
    async with serving(max_retries=3) as (server, client):
        refused = await client.complete(asking("[[fail:503:2]]").model_copy(update={"billed_once": True}))
        assert refused.message["content"]
        assert server.counters.calls == 3
    clock = ManualClock()
    async with serving(clock, max_retries=3, timeout_s=1) as (server, client):
        slow = asyncio.create_task(client.complete(asking("[[delay:800]]").model_copy(update={"billed_once": True})))
        await until(lambda: server.counters.open == 1)
        clock.advance(1)
        with pytest.raises(TimedOut):
            await slow
        assert server.counters.calls == 1


async def test_retry_after_that_does_not_fit_the_call_is_not_waited_for() -> None:
    async with serving() as (server, client):
        with pytest.raises(ModelFailed) as raised:
            await client.complete(asking("[[fail:429:1:30]]", timeout_s=5))
        assert raised.value.retry_after_s == 30
        assert server.counters.calls == 1


async def test_a_refused_request_is_not_retried() -> None:
    async with serving() as (server, client):
        with pytest.raises(ModelRejected, match="cannot read the request"):
            await client.complete(asking("[[tool:x"))
        assert server.counters.calls == 1


async def test_a_wrong_key_is_the_operators_fault_and_is_told_to_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ScriptedModelServer(api_key="right-key") as server:
        client = OpenAIClient(endpoint(server.base_url, api_key="wrong-key"))
        with caplog.at_level(logging.DEBUG), pytest.raises(ModelFailed, match="operator"):
            await client.complete(asking("x"))
        await client.close()
        client = OpenAIClient(endpoint(server.base_url, api_key="right-key"))
        assert (await client.complete(asking("x"))).message["content"] == "echo: x"
        await client.close()
    assert "model_endpoint_misconfigured" in caplog.text
    everything = caplog.text + repr(client) + repr(vars(client.endpoint)) + str([r.__dict__ for r in caplog.records])
    assert "wrong-key" not in everything
    assert "right-key" not in everything


async def test_an_endpoint_that_echoes_the_key_in_an_error_does_not_leak_it() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        body = b'{"error": {"message": "bad header %b"}}' % request.split(b"Bearer ")[1].split(b"\r\n")[0]
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    async with rude(echo, api_key="sk-sesame") as client:
        with pytest.raises(ModelRejected) as raised:
            await client.complete(asking("x"))
    assert "***" in raised.value.message
    assert "sesame" not in raised.value.message


async def test_an_absent_server_is_a_model_failure(caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    client = OpenAIClient(endpoint(f"http://127.0.0.1:{port}/v1", max_retries=1))
    with caplog.at_level(logging.INFO), pytest.raises(ModelFailed, match="no connection"):
        await client.complete(asking("x"))
    assert [record.message for record in caplog.records] == ["model_call_retried"]


async def test_the_whole_call_is_bounded_in_time() -> None:
    clock = ManualClock()
    async with serving(clock) as (server, client):
        request = asking("[[delay:800]]", timeout_s=5)
        for call in (client.complete(request), collect(client, request)):
            task = asyncio.create_task(call)
            await until(lambda: server.counters.open == 1)
            clock.advance(5)
            with pytest.raises(TimedOut, match="5 s"):
                await task
            await until(lambda: server.counters.open == 0)


async def test_a_stalled_stream_is_given_up_after_the_endpoints_silence() -> None:
    clock, over = ManualClock(), asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n')
        await over.wait()

    async with rude(stall, clock, timeout_s=1) as client:
        stream = client.stream(asking("x"))
        assert await anext(stream) == "one"
        rest = asyncio.create_task(anext(stream))
        await clock.waiting()
        clock.advance(1)
        with pytest.raises(TimedOut, match="silent"):
            await rest
        over.set()


async def test_cancelling_a_call_closes_its_socket() -> None:
    async with serving() as (server, client):
        task = asyncio.create_task(client.complete(asking("[[delay:30]]")))
        await until(lambda: server.counters.open == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.counters.open == 0)
        assert server.counters.abandoned == 1


async def test_leaving_a_stream_early_closes_its_socket() -> None:
    async with serving() as (server, client):
        stream = client.stream(asking("[[pace:0.01]] one two three four five six seven eight"))
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        await until(lambda: server.counters.open == 0)
        assert server.counters.abandoned == 1


async def test_an_answer_over_its_bound_is_refused() -> None:
    async with ScriptedModelServer() as server:
        client = OpenAIClient(endpoint(server.base_url), max_answer_bytes=2000)
        with pytest.raises(ModelFailed, match="larger than 2000 bytes"):
            await client.complete(asking("[[long:1000]]"))
        with pytest.raises(ModelFailed, match="larger than 2000 bytes"):
            await collect(client, asking("[[long:1000]]"))
        await client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot json!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"choices":[]}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"choices":[]}',
        b"HTTP/1.1 307 Moved\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_nonsense_is_a_model_failure(answer: bytes) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with rude(nonsense) as client:
        with pytest.raises(ModelFailed):
            await client.complete(asking("x"))


async def test_a_body_that_ends_with_the_connection_is_read() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.0 200 OK\r\n\r\n{"choices": [{"message": {"content": "hi"}}]}')
        await writer.drain()

    async with rude(old) as client:
        reply = await client.complete(asking("x" * 40))
    assert reply.message == {"role": "assistant", "content": "hi"}
    assert reply.usage.prompt_tokens == 14, "no usage was sent, so it is estimated"


async def test_an_endpoint_that_cannot_stream_still_answers_a_stream() -> None:
    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()

    async with rude(whole) as client:
        pieces, reply = await collect(client, asking("x"))
    assert pieces == ["hi"] == [reply.message["content"]]


async def test_an_error_inside_a_stream_is_a_model_failure() -> None:
    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error": {"message": "overheated"}}\n\n')
        await writer.drain()

    async with rude(failing, max_retries=3) as client:
        with pytest.raises(ModelFailed, match="overheated"):
            await collect(client, asking("x"))


async def test_a_slow_reader_pauses_the_stream_instead_of_filling_memory() -> None:
    sent = 0
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(200):
            writer.write(event)
            await writer.drain()
            sent += 1
        writer.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
        await writer.drain()

    async with rude(flood) as client:
        stream = client.stream(asking("x"))
        assert await anext(stream)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 200
        rest = [piece async for piece in stream]
    assert isinstance(rest[-1], ModelReply)
    assert len(str(rest[-1].message["content"])) == 200 * 60_000


def test_parameters_cannot_replace_the_messages_or_the_model() -> None:
    body = OpenAIClient(endpoint("http://h/v1"))._dialect.body(
        asking("x", messages=[], model="other", stream=True, temperature=0), stream=False
    )
    assert body == {
        "temperature": 0,
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": False,
    }


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://", "http://u:p@h/v1", "http://h/a b"])
def test_a_base_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        OpenAIClient(endpoint(url))


def test_a_key_with_a_line_break_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="api_key") as raised:
        OpenAIClient(endpoint("http://h/v1", api_key="a\r\nX-Evil: 1"))
    assert "Evil" not in str(raised.value)


def test_a_query_in_the_base_url_is_kept() -> None:
    client = OpenAIClient(endpoint("https://h.example/openai/v1/?api-version=2"))
    assert client._head.startswith(b"POST /openai/v1/chat/completions?api-version=2 HTTP/1.1\r\nHost: h.example\r\n")


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the counters belong to the server under test
            await asyncio.sleep(0.005)
