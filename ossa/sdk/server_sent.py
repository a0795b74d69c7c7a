"""Server-sent events, from bytes. No IO."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`id` is the last id seen in the stream, also one of an earlier event."""

    data: str
    type: str = "message"
    id: str = ""


class EventDecoder:
    """Takes bytes as they come, in any cut, and gives whole events.

    Lines end at CR, LF or CRLF and nowhere else: JSON may hold U+2028 as it is.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._type = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        buffer = self._rest + chunk
        held = b""
        if buffer.endswith(b"\r"):  # its LF may come with the next chunk
            buffer, held = buffer[:-1], b"\r"
        *lines, rest = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        events = []
        for line in lines:
            event = self._line(line.decode("utf-8", errors="replace"))
            if event is not None:
                events.append(event)
        return events

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        if not data:
            return None
        return ServerEvent(data="\n".join(data), type=kind or "message", id=self._id)
