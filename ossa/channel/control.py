"""The supervisor's line: calls to an agent's process that are no turns, on the channel's port.

While an actor call runs, Ray's event loop in that process stands still, and with it what it does a hundred times
a second. So an agent lets its main thread rest in one such call for as long as its supervisor is on the line
(docs/decisions/0021-resting-agents.md); when the line is gone, Ray's calls are taken again.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from ossa.channel.link import Line, dial
from ossa.contracts.errors import OssaError, error_types

Command = Callable[[Any], Awaitable[Any]]
"""JSON values in and out. What it raises is told to the caller."""

KEEPALIVE = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""Seconds, seconds, probes: a supervisor's host that vanished is noticed within 9 s, and no process wakes for it."""


class Caller(Protocol):
    """The connection of a supervisor."""

    def hang_up(self) -> None: ...


class ControlDesk:
    """The agent's end: who is in charge, and what may be called.

    Args:
        secret: greets as the supervisor. Made by the process and told over Ray alone.
        commands: by name.
    """

    def __init__(self, secret: str, commands: Mapping[str, Command]) -> None:
        self._secret = secret
        self._commands = commands
        self._caller: Caller | None = None
        self._alone = threading.Event()
        self._alone.set()

    def knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._secret.encode())

    def begin(self, caller: Caller, sock: socket.socket | None) -> None:
        """Put that one in charge; whoever was before is hung up on."""
        before, self._caller = self._caller, caller
        self._alone.clear()
        if sock is not None:
            keep_alive(sock)
        if before is not None:
            before.hang_up()

    def end(self, caller: Caller) -> None:
        if self._caller is caller:
            self._caller = None
            self._alone.set()

    def rest(self) -> None:
        """Block the calling thread until nobody is in charge."""
        self._alone.wait()

    async def run(self, method: str, body: Any) -> dict[str, Any]:
        """The frame that answers a call, without its number."""
        command = self._commands.get(method)
        if command is None:
            return {"t": "failed", "code": "internal", "message": f"no command {method}"}
        try:
            return {"t": "result", "body": await command(body)}
        except Exception as error:  # noqa: BLE001 - told to the caller, who shows it
            code = error.code if isinstance(error, OssaError) else "internal"
            return {"t": "failed", "code": code, "message": str(error) or type(error).__name__}


class ControlLine:
    """The supervisor's end. Whoever holds it is in charge, until it hangs up or another dials."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @classmethod
    async def dial(cls, address: str, secret: str) -> ControlLine:
        """Raises `OSError` or `TimeoutError` when the process does not answer there, or knows no such secret."""
        line = await dial(address, secret)
        if line.socket is not None:
            keep_alive(line.socket)
        return cls(line)

    @property
    def lost(self) -> bool:
        return self._line.lost

    async def call(self, method: str, body: Any = None) -> Any:
        """Raises `ConnectionError` when the line is lost before the answer; an `OssaError` with what the command said.

        One that is not waited for any longer runs on.
        """
        number, inbox = self._line.begin({"t": "call", "method": method, "body": body})
        try:
            frame = await inbox.get()
        finally:
            self._line.end(number)
        if frame is None:
            raise ConnectionError(f"the line broke before {method} was answered")
        if frame["t"] == "result":
            return frame["body"]
        raise error_types().get(str(frame.get("code")), OssaError)(str(frame.get("message", "")))

    def hang_up(self) -> None:
        self._line.hang_up()


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out whether the other end is there. Where a knob is missing, its default holds."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
