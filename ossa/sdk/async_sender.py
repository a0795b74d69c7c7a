"""The one place an asyncio client does IO."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import count
from typing import TypeVar

import httpx

from ossa.contracts.errors import OssaError
from ossa.sdk.call import Call, Request
from ossa.sdk.errors import UnexpectedAnswer, error_of, error_of_transport
from ossa.sdk.exchange import Exchange, polling_pauses
from ossa.sdk.server_sent import EventDecoder, ServerEvent

T = TypeVar("T")


class AsyncSender:
    """`Sender` for asyncio: same promises, same errors."""

    def __init__(self, exchange: Exchange, transport: httpx.AsyncBaseTransport | None) -> None:
        self._exchange = exchange
        self._http = httpx.AsyncClient(
            base_url=exchange.connection.url,
            headers=exchange.headers(),
            timeout=exchange.timeout,
            transport=transport,
        )

    async def send(self, call: Call[T]) -> T:
        return await self._persist(lambda: self._once(call), repeatable=call.request.repeatable)

    async def start(self, request: Request) -> httpx.Response:
        """An answer whose body is still to be read; its status was good. The caller closes it."""
        return await self._persist(lambda: self._start_once(request), repeatable=request.repeatable)

    async def events(self, response: httpx.Response) -> AsyncGenerator[ServerEvent, None]:
        """The server-sent events of a started answer, until its end. Closes it."""
        decoder = EventDecoder()
        try:
            async for chunk in response.aiter_bytes():
                for event in decoder.feed(chunk):
                    yield event
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        finally:
            await response.aclose()

    async def poll(self, look: Callable[[], Awaitable[T | None]], *, timeout_s: float, every_s: float) -> T | None:
        """The first answer that is not None, or None when there was none within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        for pause in polling_pauses(every_s):
            found = await look()
            left = deadline - time.monotonic()
            if found is not None or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
        return None

    async def rest(self, attempt: int, error: OssaError) -> None:
        """Wait as one does before repeating; raises `error` when it is not to be repeated."""
        await asyncio.sleep(self._exchange.pause_or_raise(attempt, error, repeatable=True))

    async def close(self) -> None:
        await self._http.aclose()

    async def _persist(self, act: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        for attempt in count():
            try:
                return await act()
            except OssaError as error:
                pause = self._exchange.pause_or_raise(attempt, error, repeatable=repeatable)
            await asyncio.sleep(pause)
        raise AssertionError("count() does not end")

    async def _once(self, call: Call[T]) -> T:
        try:
            response = await self._http.send(call.request.build(self._http))
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        return call.read(response)

    async def _start_once(self, request: Request) -> httpx.Response:
        try:
            response = await self._http.send(request.build(self._http), stream=True)
            if not response.is_success:
                await response.aread()
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        if not response.is_success:
            raise error_of(response)
        if "text/event-stream" not in response.headers.get("content-type", ""):
            await response.aclose()
            raise UnexpectedAnswer(f"{request.method} {request.path} did not answer with a stream of events.")
        return response
