"""The real gateway over the doubles of this package: no network, no processes, no Ray.

    fleet = FakeGateway()
    fleet.say("Paris")
    client = ossa.connect("http://fleet", "key", transport=fleet)
    assert client.chat("Capital of France?").text == "Paris"

Needs what a gateway needs (`ossa-on-ray` with its server's dependencies), and answers as one does, limits, journal and
errors included. Streams are real too, but come whole.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from starlette.requests import Request

from ossa.app.extensions import Backends, MakeExtension, extensions_of
from ossa.contracts.access import Scope
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import OssaError
from ossa.contracts.fleet import FleetPort
from ossa.contracts.stores import Stores
from ossa.contracts.turn import AgentLink
from ossa.gateway.api.responses import failure_response
from ossa.gateway.application import create_app
from ossa.gateway.core import GatewayCore
from ossa.memory.service import MemoryService
from ossa.memory.tiers import HotCopies, WarmVectors, memory_schema
from ossa.tenancy.keys import mint
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from ossa.testing.stores.tiers import InMemoryCatalogue, InMemoryObjects, MemoryCache, MemoryVectors
from ossa.vortex.service import CompressionService


def gateway_app(
    *,
    settings: GatewaySettings | None = None,
    stores: MemoryStores | None = None,
    fleet: FleetPort | None = None,
    link: AgentLink | None = None,
    backends: Backends | None = None,
    installed: Iterable[MakeExtension] = (),
    drain_s: float = 0.2,
    **core: Any,
) -> FastAPI:
    """Returns the app; its `state.context` is the `ossa.gateway.context.GatewayContext`.

    Args:
        backends: default: compression in the process, no answer cache, no memory.
        installed: extensions beside the standard ones.
        core: further fields of `ossa.gateway.core.GatewayCore`.
    """
    stores = stores or MemoryStores()
    made = GatewayCore(
        settings=settings or GatewaySettings(),
        stores=stores,
        fleet=fleet or FakeFleet.of({"intelligence": 2, "security": 2}, store=stores.fleet),
        link=link or FakeLink(),
        **{"rng": random.Random(1), **core},
    )
    backends = backends or Backends(compressor=CompressionService(stores.originals))
    return create_app(made, extensions_of(made, backends, installed=installed), drain_s=drain_s)


T = TypeVar("T")

POOLS = {"foundation": 2, "security": 1, "intelligence": 2}
START_S = 30.0
DIMENSIONS = 64


def fake_app(stores: MemoryStores, fleet: FakeFleet, link: FakeLink) -> FastAPI:
    """The gateway's application, with all that it may have and quick timers."""
    settings = GatewaySettings(
        claim_interval_s=0.02, lease_renew_s=0.2, lease_ttl_s=5, busy_wait_s=0.5, key_cache_s=3600
    )
    backends = Backends(compressor=CompressionService(stores.originals), memory=fake_memory())
    return gateway_app(settings=settings, stores=stores, fleet=fleet, link=link, backends=backends)


def fake_memory() -> MemoryService:
    """A memory in memory; texts are near that share words."""
    return MemoryService(
        InMemoryCatalogue(),
        HotCopies(MemoryCache(time.monotonic), answer_s=60, clock=time.monotonic),
        WarmVectors(MemoryVectors(memory_schema(DIMENSIONS))),
        InMemoryObjects(),
        embed=_embed,
    )


async def _embed(text: str) -> Sequence[float]:
    words = Counter(sum(word.encode()) % DIMENSIONS for word in text.lower().split())
    return [float(words[place]) for place in range(DIMENSIONS)]


async def admin_secret(stores: Stores) -> str:
    """Makes a key of the tenant `default` that may do everything."""
    minted = mint(tenant="default", name="test", scopes=[Scope.ADMIN], now=datetime.now(UTC))
    await stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
    return minted.secret


class FakeGateway(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for both clients, with the real gateway behind it; any API key may do everything.

    It runs in a thread of its own from the first request until `stop`, or until nobody holds it. `stores`, `fleet` and
    `link` are the doubles below the gateway, with verbs of their own.

    Args:
        pools: pool -> agents.
        link: answers the turns; None: one that says `hello`.
    """

    def __init__(self, pools: Mapping[str, int] | None = None, *, link: FakeLink | None = None) -> None:
        self.stores = MemoryStores()
        self.fleet = FakeFleet.of(POOLS if pools is None else pools, store=self.stores.fleet)
        self.link = link or FakeLink("hello")
        self.requests: list[httpx.Request] = []
        """All that came in, oldest first."""
        self._faults: deque[OssaError | httpx.TransportError] = deque()
        self._canned: dict[str, tuple[int, Any]] = {}
        self._cut_after: int | None = None
        self._loop: _Loop | None = None
        self._lock = threading.Lock()

    # Test verbs

    def say(self, *answers: str) -> None:
        """Sets the next answers; after them it says `hello`."""
        self.link.say_next(*answers)

    def fail_next(self, *errors: OssaError) -> None:
        """Answers the next requests with these errors."""
        self._faults.extend(errors)

    def drop_next(self, error: httpx.TransportError | None = None) -> None:
        """Breaks the connection of the next request."""
        self._faults.append(error or httpx.ReadError("connection reset"))

    def break_operations(self, reason: str) -> None:
        """Lets operations fail from now on, for that reason."""
        self.fleet.fail_operations(reason)

    def cut_next_stream(self, after_events: int) -> None:
        """Breaks the next stream off after that many events."""
        self._cut_after = after_events

    def answer(self, path: str, body: Any, *, status: int = 200) -> None:
        """Answers requests of a path with this JSON (or text) from now on, instead of the gateway."""
        self._canned[path] = (status, body)

    def sent(self, index: int = -1) -> Any:
        """Returns the JSON body of a request that came in."""
        return json.loads(self.requests[index].content)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the gateway's loop, to read or change its stores."""
        return asyncio.run_coroutine_threadsafe(work, self._started().loop).result()

    def stop(self) -> None:
        """Stops the gateway. What is in its stores stays, and the next request starts it again."""
        with self._lock:
            if self._loop is not None:
                self._loop.stop()
                self._loop = None

    # Transports

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._taken(request) or self._shaped(self.run(self._started().ask(request)))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if (response := self._taken(request)) is not None:
            return response
        loop = await asyncio.to_thread(self._started)
        return self._shaped(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(loop.ask(request), loop.loop)))

    def _taken(self, request: httpx.Request) -> httpx.Response | None:
        """The answer to a request that does not reach the gateway."""
        self.requests.append(request)
        if self._faults:
            fault = self._faults.popleft()
            if isinstance(fault, httpx.TransportError):
                raise fault
            return _failure(fault, request.url.path)
        if request.url.path in self._canned:
            status, body = self._canned[request.url.path]
            return httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)
        return None

    def _shaped(self, response: httpx.Response) -> httpx.Response:
        if self._cut_after is None or "text/event-stream" not in response.headers["content-type"]:
            return response
        events = [event for event in response.content.split(b"\n\n") if b"data:" in event][: self._cut_after]
        self._cut_after = None
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Cut([event + b"\n\n" for event in events])
        )

    def _started(self) -> _Loop:
        with self._lock:
            if self._loop is None:
                self._loop = _Loop(fake_app(self.stores, self.fleet, self.link), self.stores)
                weakref.finalize(self, self._loop.stop)
            return self._loop


class _Loop:
    """An event loop in a thread of its own that serves an application."""

    def __init__(self, app: FastAPI, stores: MemoryStores) -> None:
        self._app = app
        self._stores = stores
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._up: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="fake-gateway", daemon=True)
        self._thread.start()
        self._secret = self._up.result(START_S)

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """Returns the whole answer, of whichever loop and client the request is."""
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"authorization"]
        headers.append((b"authorization", f"Bearer {self._secret}".encode()))
        response = await self._transport.handle_async_request(
            httpx.Request(request.method, request.url, headers=headers, content=request.content)
        )
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._down.set)
            if threading.current_thread() is not self._thread:  # a garbage collection may run anywhere
                self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._up.done():
                raise
            self._up.set_exception(error)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._down = asyncio.Event()
        async with self._app.router.lifespan_context(self._app):
            self._up.set_result(await admin_secret(self._stores))
            await self._down.wait()


class _Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes event by event, and breaks."""

    def __init__(self, events: list[bytes]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        yield from self._events
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self:
            yield event


def _failure(error: OssaError, path: str) -> httpx.Response:
    """The gateway's answer to a request that failed so; a test need not wait a whole second to repeat it."""
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    answer = failure_response(Request(scope), error)
    response = httpx.Response(answer.status_code, headers=answer.headers.items(), content=bytes(answer.body))
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(error.retry_after_s)
    return response
