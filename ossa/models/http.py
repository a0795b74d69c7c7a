"""A lean HTTP/1.1 client: one origin, kept-alive connections, bounded answers.

Why our own: an agent's process pays for every import, 200 times, and a model call
is on the hot path (docs/decisions/0025-model-http.md has what the others cost). It
reads gzip and deflate and goes through an HTTP proxy; redirects are the caller's.

    HttpPool      connections to one origin
    HttpExchange  one request and its answer, read in pieces
    HttpFailed    the connection failed; `answered` tells whether a part of an answer was seen
    NotConnected  it could not be made at all
    TooLarge      the answer is over its bound
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import httptools

from ossa.models.encoding import BodyDecoder, EncodingFailed
from ossa.models.origin import Origin, Proxy

_PAUSE_BYTES = 256 * 1024
_HEADERS_MAX = 64 * 1024
_IDLE_MAX_S = 30.0
"""An older idle connection is not trusted: a NAT or balancer on the way may have forgotten it."""

_HEAD, _SOME, _ALL = 0, 1, 2  # what a reader waits for


class HttpFailed(Exception):
    """The connection could not be made, broke, or spoke no HTTP."""

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class NotConnected(HttpFailed):
    """No connection could be made: nothing was sent."""


class TooLarge(HttpFailed):
    """The answer is larger than the caller takes."""


class Connection(asyncio.Protocol):
    """One socket. Carries one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._want = _ALL
        self._error: HttpFailed | None = None
        self._paused = False
        self.closed = False
        self.idle_since = 0.0
        self._reset(0, whole=True)

    def _reset(self, limit: int, *, whole: bool) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.headed = False
        self.done = False
        self._limit = limit
        self._whole = whole
        self._header_bytes = 0
        self._size = 0
        self._chunks: list[bytes] = []
        self._keep_alive = False
        self._decoder: BodyDecoder | None = None

    # What the exchange does.

    def send(self, request: bytes, *, limit: int, whole: bool) -> None:
        """Begin an exchange. `limit` bounds the unread body in bytes; with `whole` it is read without pauses."""
        self._reset(limit, whole=whole)
        if self.closed or self._transport is None:
            raise self._error or HttpFailed("the connection was closed by the peer")
        self._transport.write(request)

    async def begun(self) -> None:
        """Returns when the headers are here; of an exchange sent with `whole`, the body too."""
        await self._wait(_ALL if self._whole else _HEAD)

    async def some(self) -> bytes:
        """The next piece of the body; empty at its end."""
        if not self._chunks:
            await self._wait(_SOME)
        piece = self._take()
        self._resume()
        return piece

    async def body(self) -> bytes:
        self._whole = True
        self._resume()
        await self._wait(_ALL)
        return self._take()

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    @property
    def reusable(self) -> bool:
        return self.done and self._keep_alive and not self.closed and self._error is None

    def abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _take(self) -> bytes:
        chunks = self._chunks
        piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        return piece

    async def _wait(self, want: int) -> None:
        while not self._satisfied(want):
            if self._error is not None:
                raise self._error
            self._want = want
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _satisfied(self, want: int) -> bool:
        return self.done or (want == _HEAD and self.headed) or (want == _SOME and bool(self._chunks))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (self._error is not None or self._satisfied(self._want)):
            waiter.set_result(None)

    def _fail(self, error: HttpFailed) -> None:
        if self._error is None:
            self._error = error
        self.abort()
        self._wake()

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(HttpFailed("the endpoint does not speak HTTP/1.1", answered=True))
            return
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.headed and not self.done and self._ends_with_connection and exc is None:
            self.done = True
        elif not self.done and self._error is None:
            why = f": {exc}" if exc else ""
            self._error = HttpFailed(f"the endpoint closed the connection{why}", answered=self.status != 0)
        self._wake()

    @property
    def _ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    # What the parser says.

    def on_message_begin(self) -> None:
        if self.done:
            # An answer nobody asked for: the connection is out of step.
            self._fail(HttpFailed("the endpoint sent more than one answer", answered=True))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > _HEADERS_MAX:
            self._fail(TooLarge(f"the answer's headers are larger than {_HEADERS_MAX} bytes", answered=True))
            return
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = {}
            return
        try:
            self._decoder = BodyDecoder(self.headers.get(b"content-encoding", b"").decode("latin-1"))
        except EncodingFailed as error:
            self._fail(HttpFailed(str(error), answered=True))
            return
        self.headed = True

    def on_body(self, body: bytes) -> None:
        if self._error is not None or self._decoder is None:
            return
        try:
            body = self._decoder.feed(body, self._limit - self._size)
        except EncodingFailed as error:
            self._fail((TooLarge if error.too_large else HttpFailed)(str(error), answered=True))
            return
        if not body:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > self._limit:
            self._fail(TooLarge(f"the answer is larger than {self._limit} bytes", answered=True))
        elif self._size > _PAUSE_BYTES and not self._whole and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self.headed or self._error is not None:
            return
        self.done = True
        self._keep_alive = self._parser.should_keep_alive()


class Tunnel(asyncio.Protocol):
    """Asks a proxy for a way to an origin: the bytes before TLS begins."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._opened: asyncio.Future[bytes] = loop.create_future()

    async def open(self, origin: Origin, proxy: Proxy) -> None:
        """Returns when the way is open. Raises `NotConnected` with the proxy's status."""
        assert self._transport is not None
        lines = [f"CONNECT {origin.authority} HTTP/1.1", f"Host: {origin.authority}", "User-Agent: ossa-on-ray"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        status = await self._opened
        if not status.startswith(b"2"):
            said = status.decode("latin-1")[:80]
            raise NotConnected(f"the proxy {proxy.host}:{proxy.port} opened no way to {origin.authority}: {said}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._opened.done():
            return
        self._answer += data
        head, end, _ = self._answer.partition(b"\r\n\r\n")
        if end or len(head) > _HEADERS_MAX:
            line = head.split(b"\r\n", 1)[0]
            version, _, status = line.partition(b" ")
            self._opened.set_result(status.strip() if version.startswith(b"HTTP/1.") else b"it does not speak HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_result(b"it closed the connection")


class HttpExchange:
    """One request on its way. `release` or `abort` it; a released one goes back to the pool if it was read whole."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: HttpPool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection

    @property
    def status(self) -> int:
        return self._connection.status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self._connection.headers

    @property
    def done(self) -> bool:
        return self._connection.done

    async def some(self) -> bytes:
        """The next piece of the body, empty at its end. Raises `HttpFailed`."""
        return await self._connection.some()

    async def body(self) -> bytes:
        """The rest of the body. Raises `HttpFailed`, `TooLarge`."""
        return await self._connection.body()

    def release(self) -> None:
        self._pool.release(self._connection)

    def abort(self) -> None:
        self._connection.abort()


class HttpPool:
    """Connections to one origin, the last used first. Used in one event loop.

    It sets no bound on open connections: whoever calls does (an agent by its slots).
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connect_timeout_s: float,
        max_idle: int = 64,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        proxy: Proxy | None = None,
    ) -> None:
        self.origin = origin
        self._proxy = proxy
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._idle: list[Connection] = []
        self.connects = 0

    async def open(self, request: bytes, *, limit: int, whole: bool) -> HttpExchange:
        """Send; returns when the answer's headers are here, or with `whole` all of its body.

        A kept-alive connection that the peer closed without a byte of an answer
        is replaced once by a fresh one: the peer did not take the request.
        Raises `HttpFailed`; cancelling closes the socket.
        """
        kept = self._kept()
        if kept is not None:
            try:
                return await self._exchange(kept, request, limit, whole)
            except HttpFailed as error:
                if error.answered:
                    raise
        return await self._exchange(await self._connect(), request, limit, whole)

    async def _exchange(self, connection: Connection, request: bytes, limit: int, whole: bool) -> HttpExchange:
        try:
            connection.send(request, limit=limit, whole=whole)
            await connection.begun()
        except BaseException:
            connection.abort()
            raise
        return HttpExchange(self, connection)

    def _kept(self) -> Connection | None:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and loop.time() - connection.idle_since < _IDLE_MAX_S:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        if self.origin.scheme == "https" and self._context is None:
            try:
                self._context = self._tls()
            except (OSError, ssl.SSLError) as error:
                raise NotConnected(f"ca_file cannot be read: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await (self._direct() if self._proxy is None else self._proxied(self._proxy))
        except TimeoutError as error:
            raise NotConnected(f"no connection within {self._connect_timeout_s:g} s{self._by}") from error
        except OSError as error:
            raise NotConnected(f"no connection{self._by}: {error.strerror or error}") from error
        self.connects += 1
        return connection

    @property
    def _by(self) -> str:
        return "" if self._proxy is None else f" by the proxy {self._proxy.host}:{self._proxy.port}"

    async def _direct(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(loop), self.origin.host, self.origin.port, ssl=self._context
        )
        return connection

    async def _proxied(self, proxy: Proxy) -> Connection:
        loop = asyncio.get_running_loop()
        if self._context is None:
            _, connection = await loop.create_connection(lambda: Connection(loop), proxy.host, proxy.port)
            return connection
        transport, tunnel = await loop.create_connection(lambda: Tunnel(loop), proxy.host, proxy.port)
        try:
            await tunnel.open(self.origin, proxy)
            connection = Connection(loop)
            secured = await loop.start_tls(transport, connection, self._context, server_hostname=self.origin.host)
            if secured is None:
                raise NotConnected(f"no connection{self._by}: the tunnel was closed")
            connection.connection_made(secured)
        except BaseException:
            transport.abort()
            raise
        return connection

    def release(self, connection: Connection) -> None:
        if connection.reusable and len(self._idle) < self._max_idle:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close the idle connections. Exchanges under way go on."""
        while self._idle:
            self._idle.pop().abort()
