"""The one place where a client does IO."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from random import Random
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import httpx

from ossa.contracts.errors import AgentLost, Fenced, FleetBusy, NotReady, OssaError, StoreUnavailable, TimedOut
from ossa.contracts.value import Value
from ossa.resilience.backoff import backoff_s
from ossa.resilience.server_sent import EventDecoder, ServerEvent
from ossa.sdk.blocking import IO, BlockingIO
from ossa.sdk.connection import Connection
from ossa.sdk.errors import UnexpectedAnswer, Unreachable, error_of, error_of_transport
from ossa.sdk.received import read

_PASSING = (FleetBusy, NotReady, StoreUnavailable, AgentLost, Fenced)


class RetryPolicy(Value):
    """Waits with full jitter under a doubling bound; a `Retry-After` of the server is the least wait."""

    max_retries: int = 2
    backoff_s: float = 0.25
    longest_wait_s: float = 20.0

    def wait_s(self, attempt: int, error: OssaError, *, repeatable: bool, rng: Random) -> float | None:
        """Returns the seconds to wait before attempt + 1 (the first is 0), or None: the caller gets the error.

        A request that is not `repeatable` goes out again only when the one before surely never arrived or was refused.
        """
        if attempt >= self.max_retries or not _may_repeat(error, repeatable=repeatable):
            return None
        asked = error.retry_after_s or 0.0
        if asked > self.longest_wait_s:
            return None
        wait = backoff_s(attempt, first_s=self.backoff_s, longest_s=self.longest_wait_s, roll=rng.random())
        return min(self.longest_wait_s, asked + wait)


def _may_repeat(error: OssaError, *, repeatable: bool) -> bool:
    if isinstance(error, Unreachable):
        return repeatable or error.details.get("sent") is False
    if isinstance(error, FleetBusy):
        return True
    if isinstance(error, TimedOut):
        return False
    return repeatable and isinstance(error, _PASSING)


CONNECT_TIMEOUT_S = 5.0
LONGEST_POLL_S = 2.0

T = TypeVar("T")


class Lasting(Protocol):
    """Something that ends: a task, an operation."""

    @property
    def ended(self) -> bool: ...


L = TypeVar("L", bound=Lasting)


@dataclass(frozen=True, slots=True)
class Request:
    """What goes out.

    `repeatable`: sending it twice has the effect of once. `also_ok` names statuses from 400 on whose body is an answer
    all the same.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    also_ok: tuple[int, ...] = ()

    def build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        return http.build_request(
            self.method, self.path, params=self.params or None, json=self.json, headers=dict(self.headers)
        )

    def read(self, response: httpx.Response, parse: Callable[[httpx.Response], T]) -> T:
        """Returns the value of a whole answer.

        Raises the error that the answer stands for, `UnexpectedAnswer` when it cannot be read.
        """
        if response.status_code not in self.also_ok and not response.is_success:
            raise error_of(response)
        try:
            return parse(response)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            first_line = " ".join(str(error).split())[:200]
            raise UnexpectedAnswer(
                f"{self.method} {self.path} answered {response.status_code} with a body that cannot be read: "
                f"{first_line}"
            ) from error


class Exchange(Generic[IO]):
    """Sends requests to one fleet, repeats what may be repeated, and turns what goes wrong into `ossa` errors."""

    def __init__(self, connection: Connection, io: IO, *, max_retries: int) -> None:
        self.connection = connection
        self.io: IO = io
        self.blocking = isinstance(io, BlockingIO)
        self._retry = RetryPolicy(max_retries=max_retries)
        self._rng = Random()

    async def send(self, kind: type[T], request: Request) -> T:
        """Sends a request and reads the whole answer as a `kind`."""
        return await self.send_and_parse(request, lambda response: read(kind, response.json()))

    async def send_and_parse(self, request: Request, parse: Callable[[httpx.Response], T]) -> T:
        """`send` for answers that are more than their JSON."""

        async def attempt() -> T:
            return request.read(await self._send_once(request), parse)

        return await self._persist(attempt, repeatable=request.repeatable)

    async def start(self, request: Request) -> httpx.Response:
        """Returns an answer whose body is still to be read, with `events`. The caller closes it."""
        return await self._persist(lambda: self._start_once(request), repeatable=request.repeatable)

    async def events(self, response: httpx.Response) -> AsyncGenerator[ServerEvent, None]:
        """Yields the server-sent events of a started answer until its end, and closes it."""
        decoder = EventDecoder(max_bytes=None)
        try:
            async for chunk in self.io.chunks(response):
                for event in decoder.feed(chunk):
                    yield event
        except httpx.HTTPError as error:
            raise error_of_transport(error, self.connection.url) from error
        finally:
            await self.io.close_response(response)

    async def wait(self, kind: type[L], path: str, name: str, *, timeout_s: float, poll_s: float) -> L:
        """Asks again, at growing intervals, until the thing has ended. Raises `TimedOut`; the thing then goes on."""
        deadline = time.monotonic() + timeout_s
        pause_s = poll_s
        while not (state := await self.send(kind, Request("GET", path))).ended:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimedOut(f"{name} did not end within {timeout_s:g} s; it goes on, ask for it later.")
            await self.io.sleep(min(pause_s, LONGEST_POLL_S, left_s))
            pause_s *= 1.5
        return state

    async def pause_or_raise(self, attempt: int, error: OssaError, *, repeatable: bool = True) -> None:
        """Waits before the next attempt; raises `error` when there is to be none."""
        pause_s = self._retry.wait_s(attempt, error, repeatable=repeatable, rng=self._rng)
        if pause_s is None:
            raise error
        await self.io.sleep(pause_s)

    async def _persist(self, act: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        for attempt in count():
            try:
                return await act()
            except OssaError as error:
                await self.pause_or_raise(attempt, error, repeatable=repeatable)
        raise AssertionError("count() does not end")

    async def _send_once(self, request: Request, *, stream: bool = False) -> httpx.Response:
        try:
            response = await self.io.send(request.build(self.io.http), stream=stream)
            if stream and not response.is_success:
                await self.io.read(response)
        except httpx.HTTPError as error:
            raise error_of_transport(error, self.connection.url) from error
        return response

    async def _start_once(self, request: Request) -> httpx.Response:
        response = await self._send_once(request, stream=True)
        if not response.is_success:
            raise error_of(response)
        if "text/event-stream" not in response.headers.get("content-type", ""):
            await self.io.close_response(response)
            raise UnexpectedAnswer(f"{request.method} {request.path} did not answer with a stream of events.")
        return response


def http_options(connection: Connection, timeout_s: float) -> dict[str, Any]:
    """Returns what both of httpx's clients are made with."""
    return {
        "base_url": connection.url,
        "headers": {"User-Agent": f"ossa-python/{package_version()}", **connection.headers()},
        "timeout": httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
    }


def package_version() -> str:
    """Returns the installed version; `0` in a checkout that is not installed (`ray job submit --working-dir .`)."""
    try:
        return version("ossa-on-ray")
    except PackageNotFoundError:
        return "0"


def path_of(*parts: str | int) -> str:
    """Joins a path; what names a thing cannot leave its place in it."""
    first, *names = parts
    return "/".join((str(first), *(quote(str(name), safe="") for name in names)))


def given(**fields: Any) -> dict[str, Any]:
    """Returns the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
