"""The one place a blocking client does IO."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from itertools import count
from typing import TypeVar

import httpx

from ossa.contracts.errors import OssaError
from ossa.sdk.call import Call, Request
from ossa.sdk.errors import UnexpectedAnswer, error_of, error_of_transport
from ossa.sdk.exchange import Exchange, polling_pauses
from ossa.sdk.server_sent import EventDecoder, ServerEvent

T = TypeVar("T")


class Sender:
    """Sends calls, repeats what may be repeated, and turns what goes wrong into `ossa` errors."""

    def __init__(self, exchange: Exchange, transport: httpx.BaseTransport | None) -> None:
        self._exchange = exchange
        self._http = httpx.Client(
            base_url=exchange.connection.url,
            headers=exchange.headers(),
            timeout=exchange.timeout,
            transport=transport,
        )

    def send(self, call: Call[T]) -> T:
        return self._persist(lambda: self._once(call), repeatable=call.request.repeatable)

    def start(self, request: Request) -> httpx.Response:
        """An answer whose body is still to be read, with `chunks`; its status was good. The caller closes it."""
        return self._persist(lambda: self._start_once(request), repeatable=request.repeatable)

    def events(self, response: httpx.Response) -> Generator[ServerEvent, None, None]:
        """The server-sent events of a started answer, until its end. Closes it."""
        decoder = EventDecoder()
        try:
            for chunk in response.iter_bytes():
                yield from decoder.feed(chunk)
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        finally:
            response.close()

    def poll(self, look: Callable[[], T | None], *, timeout_s: float, every_s: float) -> T | None:
        """The first answer that is not None, or None when there was none within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        for pause in polling_pauses(every_s):
            found = look()
            left = deadline - time.monotonic()
            if found is not None or left <= 0:
                return found
            time.sleep(min(pause, left))
        return None

    def rest(self, attempt: int, error: OssaError) -> None:
        """Wait as one does before repeating; raises `error` when it is not to be repeated."""
        time.sleep(self._exchange.pause_or_raise(attempt, error, repeatable=True))

    def close(self) -> None:
        self._http.close()

    def _persist(self, act: Callable[[], T], *, repeatable: bool) -> T:
        for attempt in count():
            try:
                return act()
            except OssaError as error:
                pause = self._exchange.pause_or_raise(attempt, error, repeatable=repeatable)
            time.sleep(pause)
        raise AssertionError("count() does not end")

    def _once(self, call: Call[T]) -> T:
        try:
            response = self._http.send(call.request.build(self._http))
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        return call.read(response)

    def _start_once(self, request: Request) -> httpx.Response:
        try:
            response = self._http.send(request.build(self._http), stream=True)
            if not response.is_success:
                response.read()
        except httpx.HTTPError as error:
            raise error_of_transport(error, self._exchange.connection.url) from error
        if not response.is_success:
            raise error_of(response)
        if "text/event-stream" not in response.headers.get("content-type", ""):
            response.close()
            raise UnexpectedAnswer(f"{request.method} {request.path} did not answer with a stream of events.")
        return response
