"""Reads JSON as model endpoints send it: strictly first, and leniently where that fails. Pure.

An answer is paid for once it is made, so one wrong byte should not lose it. The second look takes a byte order mark,
bytes that are no UTF-8, `NaN` and `Infinity` (which become null), control characters and lone surrogates inside texts.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

_HIGH_FIRST, _HIGH_LAST = "\ud800", "\udbff"


def read_json(data: bytes) -> Any:
    """Returns the document, whose texts may hold lone surrogates (`mended`). Raises `ValueError` for no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(data.decode("utf-8-sig", "replace"), parse_constant=_no_number, strict=False)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from error


def mended(value: Any) -> Any:
    """The value with texts that can be written as UTF-8: halves of a pair are joined, lone ones replaced."""
    if isinstance(value, str):
        return _mended_text(value)
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended_text(key): mended(item) for key, item in value.items()}
    return value


class TextPieces:
    """A text that comes in pieces, whose characters may be cut in two."""

    __slots__ = ("_held", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._held = ""

    def __bool__(self) -> bool:
        return bool(self._pieces or self._held)

    def add(self, piece: str) -> str:
        """Returns what can be shown now: half of a character waits for the other half."""
        text = self._held + piece
        self._held = ""
        if text and _HIGH_FIRST <= text[-1] <= _HIGH_LAST:
            text, self._held = text[:-1], text[-1]
        text = _mended_text(text)
        if text:
            self._pieces.append(text)
        return text

    def whole(self) -> str:
        return "".join((*self._pieces, _mended_text(self._held)))


def _mended_text(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _no_number(_name: str) -> None:
    return None
