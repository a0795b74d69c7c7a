"""Blocking calls, made from asyncio ones.

Every call of the SDK is written once, as a coroutine over an `AsyncIO` or a `BlockingIO`. The blocking one does each
step before it returns and never suspends, so one step of the coroutine runs all of it, in the caller's own thread.
There is no event loop and no other thread: a blocking client works inside a running loop (a notebook) and in several
threads at once, Ctrl-C interrupts it where it waits, and closing it leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import update_wrapper, wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

import httpx

if TYPE_CHECKING:
    from ossa.sdk.exchange import Exchange

P = ParamSpec("P")
T = TypeVar("T")


class AsyncIO:
    """Network and sleep for asyncio."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        return await self.http.send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        await response.aread()

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        async for chunk in response.aiter_bytes():
            yield chunk

    async def close_response(self, response: httpx.Response) -> None:
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self.http.aclose()


class BlockingIO:
    """The same, blocking: these coroutines never suspend."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        return self.http.send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        response.read()

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        for chunk in response.iter_bytes():
            yield chunk

    async def close_response(self, response: httpx.Response) -> None:
        response.close()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 (to block is what it is for)

    async def close(self) -> None:
        self.http.close()


IO = TypeVar("IO", bound=AsyncIO | BlockingIO)


class Calls(Generic[IO]):
    """A group of calls. Type checkers see coroutines in `Calls[AsyncIO]` and plain methods in `Calls[BlockingIO]`."""

    def __init__(self, exchange: Exchange[IO]) -> None:
        self._exchange = exchange


def run(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a coroutine function that never suspends, and returns its result."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)  # a loop that runs in this thread shall not close our generators, later
    try:
        next(function(*args, **kwargs).__await__())
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        sys.set_asyncgen_hooks(*hooks)
    raise RuntimeError("A blocking client waited for an event loop.")


def iterate(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Iterates over something that never suspends. Closes it when the caller stops early."""
    try:
        while True:
            try:
                item = run(items.__anext__)
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose)


class _Bound:
    """A method that is one function for an asyncio client and another one for a blocking client."""

    def __init__(self, function: Callable[..., Any], blocking: Callable[..., Any]) -> None:
        self._function = function
        self._blocking = wraps(function)(blocking)
        update_wrapper(cast(Any, self), function)

    def _bind(self, calls: Any, owner: type) -> Any:
        """The class of a client is asked by documentation tools: it says of itself whether it blocks."""
        if calls is None:
            return self._blocking if getattr(owner, "blocking", False) else self._function
        return MethodType(self._blocking if calls._exchange.blocking else self._function, calls)


class call(_Bound, Generic[P, T]):
    """Makes a coroutine method of `Calls` a plain method where the client is a blocking one."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        super().__init__(function, lambda calls, *args, **kwargs: run(function, calls, *args, **kwargs))

    @overload
    def __get__(self, calls: None, owner: type) -> Callable[..., Any]: ...

    @overload
    def __get__(self, calls: Calls[BlockingIO], owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, calls: Calls[AsyncIO], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, calls: Any, owner: type) -> Any:
        return self._bind(calls, owner)


class stream(_Bound, Generic[P, T]):
    """`call` for asynchronous generators: a blocking client gets a plain iterator."""

    def __init__(self, function: Callable[Concatenate[Any, P], AsyncGenerator[T, None]]) -> None:
        super().__init__(function, lambda calls, *args, **kwargs: iterate(function(calls, *args, **kwargs)))

    @overload
    def __get__(self, calls: None, owner: type) -> Callable[..., Any]: ...

    @overload
    def __get__(self, calls: Calls[BlockingIO], owner: type) -> Callable[P, Generator[T, None, None]]: ...

    @overload
    def __get__(self, calls: Calls[AsyncIO], owner: type) -> Callable[P, AsyncGenerator[T, None]]: ...

    def __get__(self, calls: Any, owner: type) -> Any:
        return self._bind(calls, owner)
