"""The dialling end of one connection to an agent's process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Callable
from typing import cast

from ossa.channel.frames import ANSWER_IN_OUTCOME, PROTOCOL_VERSION, Frame, FrameError, FrameParser, encode

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 20.0
"""How long an agent may stay silent while a conversation is open."""


async def dial(
    address: str,
    token: str,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    silence_s: float = SILENCE_S,
    on_lost: Callable[[], object] = lambda: None,
) -> Line:
    """Connect to `host:port` and greet, within one time-out. Raises `OSError`, `TimeoutError`, `ValueError`."""
    host, _, port = address.rpartition(":")
    line = Line(silence_s, on_lost)
    try:
        async with asyncio.timeout(connect_timeout_s):
            await asyncio.get_running_loop().create_connection(lambda: line, host, int(port))
            line.send({"t": "hello", "v": PROTOCOL_VERSION, "token": token, "takes": [ANSWER_IN_OUTCOME]})
            await line.greeted
    except BaseException:
        line.hang_up()
        raise
    return line


class Line(asyncio.Protocol):
    """One connection to one agent's process: conversations, each with a number and an inbox of its own.

    An inbox ends with None when the connection is lost.
    """

    def __init__(self, silence_s: float, on_lost: Callable[[], object]) -> None:
        self._silence_s = silence_s
        self._on_lost = on_lost
        self._parser = FrameParser()
        self._transport: asyncio.Transport | None = None
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue[Frame | None]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.lost = False

    def begin(self, frame: Frame) -> tuple[int, asyncio.Queue[Frame | None]]:
        """Send a conversation's first frame, with the number it gets here."""
        number = next(self._numbers)
        inbox: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._inboxes[number] = inbox
        if self.lost:
            inbox.put_nowait(None)
        self.send({**frame, "id": number})
        if self._watch is None:
            self._heard_at = self._loop.time()
            self._watch = self._loop.call_later(self._silence_s / 3, self._check_silence)
        return number, inbox

    def end(self, number: int) -> None:
        self._inboxes.pop(number, None)

    def send(self, frame: Frame) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(frame))

    @property
    def socket(self) -> socket.socket | None:
        """The socket, to set options on. None before the connection is made."""
        sock: socket.socket | None = None if self._transport is None else self._transport.get_extra_info("socket")
        return sock

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError("hung up before the greeting"))
            # Nobody may be waiting any more (the dial timed out): the error is then of no interest.
            self.greeted.exception()
        self._on_lost()
        for inbox in self._inboxes.values():
            inbox.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            for frame in self._parser.feed(data):
                self._receive(frame)
        except (FrameError, KeyError, TypeError) as error:
            log.warning("channel_agent_broken", extra={"error": type(error).__name__})
            self.hang_up()

    def _receive(self, frame: Frame) -> None:
        if "id" in frame:
            inbox = self._inboxes.get(int(frame["id"]))
            if inbox is not None:
                inbox.put_nowait(frame)
        elif frame["t"] == "ready" and not self.greeted.done():
            self.greeted.set_result(None)
        elif frame["t"] == "refused":
            log.warning("channel_refused", extra={"reason": frame.get("reason")})
            self.hang_up()

    def _check_silence(self) -> None:
        """Pings while a conversation is open, and hangs up on an agent that has been silent for too long."""
        self._watch = None
        if self.lost or not self._inboxes:
            return
        if self._loop.time() - self._heard_at > self._silence_s:
            log.warning("channel_silent", extra={"silence_s": self._silence_s})
            self.hang_up()
            return
        self.send({"t": "ping"})
        self._watch = self._loop.call_later(self._silence_s / 3, self._check_silence)
