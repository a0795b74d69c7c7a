"""The client of any OpenAI-compatible endpoint: what its answers mean, and when to ask again.

HTTP itself is in `ossa.models.http`, which says why it is our own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import orjson

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed, OssaError, TimedOut
from ossa.contracts.model import ModelClient, ModelReply, ModelRequest
from ossa.contracts.task import Delta
from ossa.contracts.value import Clock, SystemClock
from ossa.models.answers import AnswerError, StreamedAnswer, read_completion
from ossa.models.dialect import Dialect
from ossa.models.failures import Said, error_of, read_error
from ossa.models.forced_tools import ForcedTools
from ossa.models.http import HttpExchange, HttpFailed, HttpPool, NotConnected, TooLarge
from ossa.models.json_reader import read_json
from ossa.models.origin import Origin, Proxy, proxy_of
from ossa.models.retry import next_wait, retry_after
from ossa.resilience.server_sent import EventDecoder, EventOverflow

log = logging.getLogger("ossa.models")

MAX_ANSWER_BYTES = 16 * 2**20
_DRAIN_S = 0.2
_REDIRECTS_MAX = 3
_OF_A_PARAMETER = frozenset({400, 422})
_LEARNED_MAX = 8
"""Refused parameters that one call is tried again for, at most."""
_KEEP_THE_METHOD = frozenset({307, 308})
_PERHAPS_BILLED = frozenset({408, 504})
"""Answers after which the endpoint may have done the work all the same. A refusal by any other status bills nothing."""


class _TryAgain(Exception):
    """A try failed in a way that may pass."""

    def __init__(self, error: OssaError, after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_s = after_s


class _OtherWords(Exception):
    """The endpoint refused a parameter, and the dialect has learned another way to say it."""


class OpenAIClient:
    """Keeps the promises of `ossa.contracts.model.ModelClient`.

    A call has `request.timeout_s` in all, tries and waits together; one try has
    at most the endpoint's `timeout_s` (of a stream: between two pieces). Tries
    that failed in the network, or with 408, 409, 425, 429 or 5xx are repeated
    with full-jitter backoff and `Retry-After`, but never once a stream has yielded.
    A refused parameter that can be renamed or left out is, at once; see `ossa.models.dialect`.

    The key is sent as `Authorization: Bearer` (to Azure as `api-key`) and appears in no repr, log or error.
    Used in one event loop.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        roll: Callable[[], float] = random.random,
        clock: Clock | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        """Raises `ValueError` when the endpoint's URL or key cannot be used."""
        self.endpoint = endpoint
        self._origin = Origin.parse(endpoint.base_url)
        self._dialect = Dialect(endpoint, self._origin.host)
        self._proxy, self._no_way = _proxy_or_why(self._origin)
        self._pool = HttpPool(
            self._origin, connect_timeout_s=endpoint.connect_timeout_s, tls=self._trusted, proxy=self._proxy
        )
        self._roll = roll
        self._clock = clock or SystemClock()
        self._max_answer_bytes = max_answer_bytes
        self._head = self._build_head()

    def __repr__(self) -> str:
        return f"OpenAIClient({self.endpoint.base_url!r}, model={self.endpoint.model!r})"

    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.endpoint.ca_file)

    def _build_head(self) -> bytes:
        key = self.endpoint.api_key.get_secret_value().strip()
        if not key.isascii() or any(ord(char) < 33 for char in key):
            raise ValueError("the endpoint's api_key must be ASCII without spaces or line breaks")
        lines = [
            self._request_line(self._origin.target("/chat/completions")),
            f"Host: {self._origin.host_header}",
            "User-Agent: ossa-on-ray",
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
        ]
        if key and self._dialect.preset.key_header == "api-key":
            lines.append(f"api-key: {key}")
        elif key:
            lines.append(f"Authorization: Bearer {key}")
        if self._proxy is not None and self._proxy.authorization and self._origin.scheme == "http":
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        return ("\r\n".join(lines) + "\r\nContent-Length: ").encode("ascii")

    def _request_line(self, target: str) -> str:
        """A proxy that forwards plain HTTP is given the whole URL; one with a tunnel sees nothing of it."""
        if self._proxy is not None and self._origin.scheme == "http":
            target = f"http://{self._origin.host_header}{target}"
        return f"POST {target} HTTP/1.1"

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One whole answer. Raises `ModelFailed`, `ModelRejected`, `TimedOut`."""
        call = _Call(self, request)
        while True:
            try:
                reply = await self._complete_once(self._shape(request, call, stream=False), request, call)
                self._dialect.check(request, reply)
                return reply
            except _OtherWords:
                continue
            except _TryAgain as failed:
                await call.pause(failed)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelReply]:
        """Text pieces, then the whole reply. Raises as `complete`; closing the iterator closes the call."""
        call = _Call(self, request)
        while True:
            yielded = False
            try:
                payload = self._shape(request, call, stream=True)
                async with aclosing(self._stream_once(payload, request, call)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, ModelReply):
                            self._dialect.check(request, piece)
                        yielded = True
                        yield piece
                return
            except _OtherWords:
                continue
            except _TryAgain as failed:
                if yielded:
                    raise failed.error from failed
                await call.pause(failed)

    async def close(self) -> None:
        self._pool.close()

    def _shape(self, request: ModelRequest, call: _Call, *, stream: bool) -> bytes:
        """The bytes of a try, as the endpoint is known by now. Raises `ModelRejected`."""
        call.body = self._dialect.body(request, stream=stream)
        data = orjson.dumps(call.body)
        return b"%b%d\r\n\r\n%b" % (self._head, len(data), data)

    async def _complete_once(self, payload: bytes, request: ModelRequest, call: _Call) -> ModelReply:
        exchange = await self._open(payload, call, whole=True)
        body = await exchange.body()
        exchange.release()
        try:
            return read_completion(body, self.endpoint, request.messages)
        except AnswerError as failed:
            raise self._inside(failed) from failed
        except ModelFailed as error:
            raise _TryAgain(error) from error

    async def _stream_once(
        self, payload: bytes, request: ModelRequest, call: _Call
    ) -> AsyncGenerator[Delta | ModelReply, None]:
        exchange = await self._open(payload, call, whole=False)
        try:
            first = await self._piece(exchange.some, call)
            if not _is_stream(exchange.headers.get(b"content-type", b""), first):
                # An endpoint that cannot stream answers whole; so do we.
                body = first + await self._piece(exchange.body, call)
                reply = read_completion(body, self.endpoint, request.messages)
                if reply.message["content"]:
                    yield str(reply.message["content"])
                yield reply
                return
            answer = StreamedAnswer(max_bytes=self._max_answer_bytes)
            async for data in self._events(exchange, call, first, answer):
                if text := answer.add(data):
                    yield text
            yield answer.reply(self.endpoint, request.messages)
            await _drain(exchange)
        except AnswerError as failed:
            raise self._inside(failed) from failed
        except ModelFailed as error:
            raise _TryAgain(error) from error
        finally:
            exchange.release()

    async def _events(
        self, exchange: HttpExchange, call: _Call, first: bytes, answer: StreamedAnswer
    ) -> AsyncIterator[bytes]:
        """The data of each event up to `[DONE]`, or to the end of the stream."""
        decoder = EventDecoder()
        chunk = first
        while True:
            try:
                events = decoder.feed(chunk) if chunk else decoder.finish()
            except EventOverflow as error:
                raise ModelFailed(str(error)) from error
            for event in events:
                if event.data.strip() == b"[DONE]":
                    answer.done = True
                    return
                yield event.data
            if not chunk:
                return
            chunk = await self._piece(exchange.some, call)

    async def _piece(self, read: Callable[[], Awaitable[bytes]], call: _Call) -> bytes:
        try:
            async with self._clock.timeout(call.try_s()):
                return await read()
        except TimeoutError as error:
            raise call.timed_out() from error
        except HttpFailed as error:
            raise ModelFailed(f"the model endpoint's answer broke off: {error}") from error

    async def _open(self, payload: bytes, call: _Call, *, whole: bool) -> HttpExchange:
        """An exchange whose status is 2xx. Raises `_TryAgain` or the final error."""
        if self._no_way:
            raise ModelFailed(f"the model endpoint cannot be reached: {self._no_way}", details={"sent": False})
        try:
            async with self._clock.timeout(call.try_s()):
                exchange = await self._followed(payload, whole=whole)
                if exchange.status < 300:
                    return exchange
                body = await exchange.body()
        except TimeoutError as error:
            raise call.timed_out() from error
        except TooLarge as error:
            raise ModelFailed(f"the model endpoint at {self._origin.host_header}: {error}") from error
        except HttpFailed as error:
            failed = ModelFailed(f"the model endpoint at {self._origin.host_header}: {error}")
            if isinstance(error, NotConnected):
                failed.details["sent"] = False
            raise _TryAgain(failed) from error
        status, headers = exchange.status, exchange.headers
        exchange.release()
        said = self._said(body)
        if status in _OF_A_PARAMETER and call.may_learn() and self._dialect.learn(said, call.body):
            raise _OtherWords
        raise self._refused(status, headers, said)

    async def _followed(self, payload: bytes, *, whole: bool) -> HttpExchange:
        """The exchange at the end of redirects that stay on the host and keep the method."""
        target = self._origin.target("/chat/completions")
        for left in range(_REDIRECTS_MAX, -1, -1):
            exchange = await self._pool.open(payload, limit=self._max_answer_bytes, whole=whole)
            location = exchange.headers.get(b"location", b"").decode("latin-1")
            if not 300 <= exchange.status < 400 or not location:
                return exchange
            status = exchange.status
            moved = self._origin.redirected(target, location) if status in _KEEP_THE_METHOD else None
            if moved is None or not left:
                exchange.abort()
                raise self._lost_way(status, location)
            await exchange.body()
            exchange.release()
            target = moved
            payload = self._request_line(target).encode() + payload[payload.index(b"\r\n") :]
        raise AssertionError("the loop ends inside")

    def _lost_way(self, status: int, location: str) -> ModelFailed:
        """A redirect that is not followed: to another host the key and the messages do not go by themselves."""
        where = location.partition("?")[0][:200]
        log.error(
            "model_endpoint_misconfigured",
            extra={"status": status, "said": self._masked(f"moved to {where}"), "endpoint": repr(self)},
        )
        message = (
            f"the model endpoint answered {status}, a redirect that is not followed: only 307 and 308 within the "
            f"host are, {_REDIRECTS_MAX} at most; the fleet's operator has to correct base_url"
        )
        return ModelFailed(message, details={"upstream_status": status})

    def _refused(self, status: int, headers: dict[bytes, bytes], said: Said) -> Exception:
        after = retry_after(headers, now=self._clock.now().timestamp())
        error, again = error_of(said, status, after_s=after, where=f"the model endpoint answered {status}")
        if not again and isinstance(error, ModelFailed):
            # What it says here may be about our key or account: for the log, not for the caller.
            log.error(
                "model_endpoint_misconfigured",
                extra={"status": status, "said": said.message, "endpoint": repr(self)},
            )
        return _TryAgain(error, after) if again else error

    def _inside(self, failed: AnswerError) -> Exception:
        """The error that an answer with status 200 holds."""
        error = failed.error
        error.message = self._masked(error.message)
        return _TryAgain(error) if failed.again else error

    def _said(self, body: bytes) -> Said:
        try:
            said = read_error(read_json(body))
        except ValueError:
            said = Said(body[:500].decode("utf-8", "replace"))
        return said._replace(message=self._masked(said.message))

    def _masked(self, text: str) -> str:
        key = self.endpoint.api_key.get_secret_value()
        return text.replace(key, "***") if key else text


def surely_unbilled(error: OssaError) -> bool:
    """Whether a failed call cost nothing: it was refused, or never sent."""
    status = error.details.get("upstream_status")
    return error.details.get("sent") is False or (status is not None and status not in _PERHAPS_BILLED)


def _proxy_or_why(origin: Origin) -> tuple[Proxy | None, str]:
    """The proxy that the environment names, and what is wrong with it."""
    try:
        return proxy_of(origin, os.environ), ""
    except ValueError as error:
        return None, f"{error}; correct the environment's proxy, or name the host in NO_PROXY"


def _is_stream(content_type: bytes, first: bytes) -> bool:
    """Whether a body holds server-sent events: some servers call them by another type, or JSON by theirs."""
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return False
    looks = start.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
    return looks or b"text/event-stream" in content_type.lower()


async def _drain(exchange: HttpExchange) -> None:
    """Read the end of a stream whose `[DONE]` was seen, so that its connection can be used again."""
    with suppress(TimeoutError, HttpFailed):
        async with asyncio.timeout(_DRAIN_S):
            while await exchange.some():
                pass


class _Call:
    """One call's time and tries."""

    def __init__(self, client: OpenAIClient, request: ModelRequest) -> None:
        self._client = client
        self._clock = client._clock
        self._billed_once = request.billed_once
        self._timeout_s = request.timeout_s
        self._ends = self._clock.monotonic() + request.timeout_s
        self._retries = 0
        self._learned = 0
        self.body: dict[str, Any] = {}
        """The body of the try under way."""

    def may_learn(self) -> bool:
        self._learned += 1
        return self._learned <= _LEARNED_MAX and self.left_s() > 0

    def left_s(self) -> float:
        return self._ends - self._clock.monotonic()

    def try_s(self) -> float:
        return max(0.0, min(self._client.endpoint.timeout_s, self.left_s()))

    def timed_out(self) -> Exception:
        """A slow try is repeated while the call has time left, but `ended` for the caller otherwise."""
        if self.left_s() > 0.001:
            limit = self._client.endpoint.timeout_s
            return _TryAgain(TimedOut(f"the model endpoint was silent for {limit:g} s"))
        return TimedOut(f"the model did not answer within {self._timeout_s:g} s")

    async def pause(self, failed: _TryAgain) -> None:
        """Wait for the next try. Raises the try's error when there will be none."""
        client = self._client
        wait = next_wait(
            self._retries,
            max_retries=client.endpoint.max_retries,
            first_s=client.endpoint.backoff_s,
            asked_s=failed.after_s,
            left_s=self.left_s(),
            roll=client._roll(),
        )
        if wait is None or (self._billed_once and not surely_unbilled(failed.error)):
            raise failed.error from failed
        self._retries += 1
        log.info(
            "model_call_retried",
            extra={"endpoint": repr(client), "retry": self._retries, "wait_s": round(wait, 3), "why": str(failed)},
        )
        await self._clock.sleep(wait)


class ModelClients:
    """Callable: endpoint -> its client, made on first use. Used in one event loop."""

    def __init__(self) -> None:
        self._clients: dict[str, ModelClient] = {}

    def __call__(self, endpoint: Endpoint) -> ModelClient:
        # Secrets are masked in an endpoint's JSON, so the key is part of the name here; it never leaves this dict.
        name = f"{endpoint.model_dump_json()}|{endpoint.api_key.get_secret_value()}"
        client: ModelClient | None = self._clients.get(name)
        if client is None:
            client = OpenAIClient(endpoint)
            if endpoint.forced_tools == "schema":
                client = ForcedTools(client)
            self._clients[name] = client
        return client

    async def close(self) -> None:
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
