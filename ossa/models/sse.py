"""Server-sent events: bytes in, the `data` of whole events out."""

from __future__ import annotations

MAX_EVENT_BYTES = 4 * 2**20


class SseOverflow(ValueError):
    """One event is larger than `MAX_EVENT_BYTES`."""


class SseParser:
    """Incremental; takes chunks cut anywhere, lines ended by LF, CRLF or CR, comments and multi-line data.

    Only `data` fields are kept: OpenAI-compatible endpoints use no others.
    """

    __slots__ = ("_data", "_rest", "_size", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that this chunk completes, in order. Raises `SseOverflow`."""
        text = self._rest + chunk if self._rest else chunk
        if not self._started:
            if text == b"\xef\xbb\xbf"[: len(text)] and len(text) < 3:
                self._rest = text
                return []
            text = text.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        if b"\r" in text:
            # A CR at the very end may be half of a CRLF: it waits for the next chunk.
            held = text.endswith(b"\r")
            text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *lines, rest = text.split(b"\n")
            self._rest = rest + b"\r" if held else rest
        else:
            *lines, self._rest = text.split(b"\n")
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            raise SseOverflow(f"a server-sent event is larger than {MAX_EVENT_BYTES} bytes")
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
            elif not line and self._data:
                events.append(b"\n".join(self._data) if len(self._data) > 1 else self._data[0])
                self._data.clear()
                self._size = 0
        return events
