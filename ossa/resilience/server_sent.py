"""Server-sent events, to and from bytes. No IO."""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 4 * 2**20

_BOM = b"\xef\xbb\xbf"


class EventOverflow(ValueError):
    """One event is larger than the decoder takes."""


class ServerEvent(NamedTuple):
    """`id` is the last id seen in the stream, also one of an earlier event."""

    data: bytes
    type: str = "message"
    id: str = ""

    @property
    def text(self) -> str:
        """The data as text; bytes that are no UTF-8 are replaced."""
        return self.data.decode("utf-8", errors="replace")


def encode_event(data: bytes, *, type: str = "", id: str = "") -> bytes:
    """One event. `data` has no line ends, as JSON has none."""
    head = (f"id: {id}\n" if id else "") + (f"event: {type}\n" if type else "")
    return b"%bdata: %b\n\n" % (head.encode(), data)


class EventDecoder:
    """Takes bytes as they come, cut anywhere, and gives whole events.

    Lines end at CR, LF or CRLF and nowhere else: JSON may hold U+2028 as it is.

    Args:
        max_bytes: of one event; None: any.
    """

    __slots__ = ("_data", "_id", "_max_bytes", "_rest", "_size", "_started", "_type")

    def __init__(self, max_bytes: int | None = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._started = False
        self._type = ""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Every event that this chunk completes, in order. Raises `EventOverflow`."""
        text = self._rest + chunk if self._rest else chunk
        if not self._started:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._rest = text
                return []
            text = text.removeprefix(_BOM)
            self._started = True
        if b"\r" in text:
            # A CR at the very end may be half of a CRLF: it waits for the next chunk.
            held = text.endswith(b"\r")
            text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *lines, rest = text.split(b"\n")
            self._rest = rest + b"\r" if held else rest
        else:
            *lines, self._rest = text.split(b"\n")
        if self._max_bytes is not None and len(self._rest) + self._size > self._max_bytes:
            raise EventOverflow(f"a server-sent event is larger than {self._max_bytes} bytes")
        return self._events(lines)

    def finish(self) -> list[ServerEvent]:
        """The last event, where the stream ended without the blank line after it."""
        lines, self._rest = self._rest.splitlines(), b""
        return self._events([*lines, b""])

    def _events(self, lines: list[bytes]) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
            elif not line:
                if self._data:
                    data = b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
                    events.append(ServerEvent(data, self._type or "message", self._id))
                    self._data.clear()
                    self._size = 0
                self._type = ""
            else:
                self._field(line)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", errors="replace")
        if name == b"event":
            self._type = text
        elif name == b"id" and "\0" not in text:
            self._id = text
        elif name == b"data":  # without a colon
            self._data.append(b"")
