"""Undoes a body's `Content-Encoding` as its bytes come. Pure.

Servers and the proxies before them compress unasked, forget to say so, or say so of a body that is not compressed:
the first bytes decide, the header comes second.
"""

from __future__ import annotations

import zlib

_GZIP_MAGIC = 0x1F
"""No JSON and no event stream begins with this byte."""

_READABLE = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class EncodingFailed(ValueError):
    """The body cannot be decoded, or grows over its bound (`too_large`)."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class BodyDecoder:
    """Takes a body's pieces and gives them decoded.

    Args:
        encoding: the `Content-Encoding` header. Raises `EncodingFailed` for one that is not read.
    """

    __slots__ = ("_encoding", "_inflate", "_started")

    def __init__(self, encoding: str) -> None:
        names = [name.strip() for name in encoding.lower().split(",") if name.strip() not in ("", "identity")]
        self._encoding = names[0] if names else ""
        if len(names) > 1 or self._encoding not in _READABLE:
            raise EncodingFailed(f"the answer is in the encoding {encoding[:40]!r}, which was not asked for")
        self._started = False
        self._inflate: zlib._Decompress | None = None

    def feed(self, piece: bytes, most: int) -> bytes:
        """Decode a piece, to `most` bytes. Raises `EncodingFailed`."""
        if not self._started and piece:
            self._started = True
            self._begin(piece)
        if self._inflate is None:
            return piece
        parts: list[bytes] = []
        while piece:
            part = self._part(piece, most - sum(map(len, parts)))
            parts.append(part)
            piece = self._next_member()
        return b"".join(parts)

    def _begin(self, piece: bytes) -> None:
        if piece[0] == _GZIP_MAGIC:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif self._encoding == "deflate" and not _is_text(piece):
            # RFC 9110 means zlib's form; some servers send the bare one.
            bare = piece[0] & 0x0F != 8 or (len(piece) > 1 and (piece[0] << 8 | piece[1]) % 31 != 0)
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)

    def _part(self, piece: bytes, most: int) -> bytes:
        assert self._inflate is not None
        try:
            part = self._inflate.decompress(piece, max(most, 0) + 1)
        except zlib.error as error:
            raise EncodingFailed("the answer's compressed body is broken") from error
        if len(part) > most:
            raise EncodingFailed("the answer grows over its bound when it is unpacked", too_large=True)
        return part

    def _next_member(self) -> bytes:
        """The input behind the end of a member: a gzip body may have several."""
        assert self._inflate is not None
        rest = self._inflate.unused_data
        if not rest or rest[0] != _GZIP_MAGIC:
            return b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return rest


def _is_text(piece: bytes) -> bool:
    """Whether a body that is said to be compressed begins as JSON, events or a page do."""
    return piece.lstrip()[:1] in (b"{", b"[", b"<", b":") or piece.startswith((b"data:", b"event:", b"\xef\xbb\xbf"))
