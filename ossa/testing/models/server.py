"""A scripted OpenAI-compatible server: for tests, demonstrations, and as a benchmark's upstream.

    python -m ossa.testing.models.server --port 0

prints one line of JSON, `{"base_url": "http://127.0.0.1:PORT/v1"}`, and serves until SIGTERM.
What it answers is in `ossa.testing.models.script`. `GET /health`, `GET /v1/models` and `GET /stats` (the
counters) are there too. It answers a call in about a tenth of a millisecond of CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, cast

import httptools
import orjson

from ossa.contracts.configuration import Endpoint
from ossa.testing.models.script import Plan, pieces, plan

MODEL = "scripted"
_KEYS_MAX = 100_000
_BODY_MAX = 64 * 2**20
_REASONS = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 429: b"Too Many Requests"}


@dataclass(slots=True)
class ServerCounters:
    """`calls` counts requests for a completion, also failed ones; `open` those being answered now."""

    calls: int = 0
    streams: int = 0
    failed: int = 0
    dropped: int = 0
    tool_calls: int = 0
    connections: int = 0
    open: int = 0
    abandoned: int = 0


class ScriptedModelServer:
    """Serves on 127.0.0.1. `async with ScriptedModelServer() as server: server.base_url`."""

    def __init__(self, *, port: int = 0, delay_s: float = 0.0, api_key: str | None = None) -> None:
        """`delay_s` is added to every answer. With `api_key`, calls without it get 401."""
        self._port = port
        self._delay_s = delay_s
        self._expected = f"Bearer {api_key}".encode() if api_key else None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._failed: Counter[bytes] = Counter()
        self.counters = ServerCounters()
        self.requests: list[dict[str, Any]] | None = None
        """Set to a list to keep every completion's body (tests look at them)."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> str:
        """Returns the base URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]
        return self.base_url

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._server is None:
            return
        self._server.close()
        self.close_connections()
        await self._server.wait_closed()
        self._server = None

    def close_connections(self) -> None:
        """Breaks every open connection, as a peer that restarts does."""
        for connection in list(self._connections):
            connection.close()

    async def __aenter__(self) -> ScriptedModelServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def times_failed(self, messages: object) -> int:
        """How often this very conversation was failed on purpose; counts this time too."""
        key = hashlib.blake2b(orjson.dumps(messages), digest_size=16).digest()
        if len(self._failed) > _KEYS_MAX:
            self._failed.clear()
        self._failed[key] += 1
        return self._failed[key]


class _Connection(asyncio.Protocol):
    """One client. Requests are answered in order, one at a time."""

    def __init__(self, server: ScriptedModelServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._authorization = b""
        self._body: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._server._connections.add(self)
        self._server.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._connections.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._url = self._authorization = b""
        self._body = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 13 and name.lower() == b"authorization":
            self._authorization = value

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > _BODY_MAX:
            self.close()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        path = self._url.partition(b"?")[0]
        if path.endswith(b"/chat/completions"):
            self._complete(b"".join(self._body))
        elif path == b"/health":
            self._answer(200, {"status": "ok"})
        elif path.endswith(b"/models"):
            self._answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "ossa"}]})
        elif path == b"/stats":
            self._answer(200, asdict(self._server.counters))
        else:
            self._error(404, "no such path")

    def _complete(self, raw: bytes) -> None:
        server = self._server
        server.counters.calls += 1
        if server._expected is not None and self._authorization != server._expected:
            self._error(401, "Incorrect API key provided")
            return
        try:
            body = orjson.loads(raw)
            answer = plan(body["messages"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._error(400, f"cannot read the request: {error}")
            return
        if server.requests is not None:
            server.requests.append(body)
        if self._fails(answer, body):
            return
        delay = server._delay_s + answer.delay_s
        stream = bool(body.get("stream"))
        if not delay and not (stream and (answer.pace_s or answer.cut_after is not None)):
            self._write(self._whole(answer, body, stream=stream))
            return
        self._task = asyncio.get_running_loop().create_task(self._slowly(answer, body, delay, stream=stream))

    def _fails(self, answer: Plan, body: dict[str, Any]) -> bool:
        """Fail on purpose, as the script says."""
        if not answer.fail_times and not answer.drop_times:
            return False
        times = self._server.times_failed(body["messages"])
        if times <= answer.drop_times:
            self._server.counters.dropped += 1
            self.close()
            return True
        if times <= answer.drop_times + answer.fail_times:
            self._server.counters.failed += 1
            extra = b""
            if answer.retry_after_s is not None:
                extra = b"Retry-After: %g\r\n" % answer.retry_after_s
            self._error(answer.fail_status, "failed on purpose", extra)
            return True
        return False

    def _whole(self, answer: Plan, body: dict[str, Any], *, stream: bool) -> bytes:
        counters = self._server.counters
        counters.tool_calls += len(answer.calls)
        if not stream:
            return _response(200, orjson.dumps(_completion(answer, body, counters.calls)))
        counters.streams += 1
        return _STREAM_HEAD + b"".join(_chunk(event) for event in _stream_events(answer, body)) + _STREAM_END

    async def _slowly(self, answer: Plan, body: dict[str, Any], delay: float, *, stream: bool) -> None:
        counters = self._server.counters
        counters.open += 1
        try:
            await asyncio.sleep(delay)
            if not stream:
                self._write(self._whole(answer, body, stream=False))
                return
            counters.streams += 1
            self._write(_STREAM_HEAD)
            for sent, event in enumerate(_stream_events(answer, body)):
                if sent - 1 == answer.cut_after:
                    self.close()
                    return
                self._write(_chunk(event))
                await asyncio.sleep(answer.pace_s)
            self._write(_STREAM_END)
        except asyncio.CancelledError:
            counters.abandoned += 1
            raise
        finally:
            counters.open -= 1

    def _answer(self, status: int, document: object, extra: bytes = b"") -> None:
        self._write(_response(status, orjson.dumps(document), extra))

    def _error(self, status: int, message: str, extra: bytes = b"") -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self._answer(status, {"error": {"message": message, "type": kind, "param": None, "code": None}}, extra)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _response(status: int, body: bytes, extra: bytes = b"") -> bytes:
    reason = _REASONS.get(status, b"Error")
    head = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, reason, extra, len(body)) + body


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _usage(answer: Plan) -> dict[str, int]:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _completion(answer: Plan, body: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", MODEL),
        "choices": [{"index": 0, "message": answer.message(), "finish_reason": answer.finish_reason}],
        "usage": _usage(answer),
    }


def _stream_events(answer: Plan, body: dict[str, Any]) -> list[bytes]:
    """Role, pieces, finish reason, usage."""
    shared = {"id": "chatcmpl-s", "object": "chat.completion.chunk", "created": 0, "model": body.get("model", MODEL)}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: %b\n\n" % orjson.dumps({**shared, "choices": [choice]})

    events = [event({"role": "assistant", "content": ""})]
    if answer.calls:
        calls = enumerate(answer.message()["tool_calls"])
        events.extend(event({"tool_calls": [{"index": i, **call}]}) for i, call in calls)
    else:
        events.extend(event({"content": piece}) for piece in pieces(answer.text))
    events.append(event({}, answer.finish_reason))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(b"data: %b\n\n" % orjson.dumps({**shared, "choices": [], "usage": _usage(answer)}))
    return events


async def _serve(port: int, delay_s: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with ScriptedModelServer(port=port, delay_s=delay_s) as server:
        sys.stdout.write(orjson.dumps({"base_url": server.base_url}).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds before every answer")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.delay_s))


if __name__ == "__main__":
    main()


class ScriptedProcess:
    """`with ScriptedProcess() as server: server.endpoint()`. Ends with the `with`."""

    def __init__(self, *, port: int = 0, delay_s: float = 0.0) -> None:
        self._arguments = ["--port", str(port), "--delay-s", str(delay_s)]
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    def start(self) -> str:
        """Returns the base URL. Raises `RuntimeError` when the server does not come up."""
        command = [sys.executable, "-m", "ossa.testing.models.server", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the scripted model server ended with status {self._process.wait()}")
        self.base_url = json.loads(line)["base_url"]
        return self.base_url

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def endpoint(self, **changes: Any) -> Endpoint:
        return Endpoint(**{"base_url": self.base_url, "model": MODEL, **changes})

    def counters(self) -> dict[str, int]:
        """The server's counters now."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/stats", timeout=10) as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def __enter__(self) -> ScriptedProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
