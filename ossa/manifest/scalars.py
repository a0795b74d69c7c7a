"""Plain YAML scalars to values: the YAML 1.2 core schema, so that `on` and `2025-09-06` stay text."""

from __future__ import annotations

import math
import re

from ossa.manifest.bounds import MAX_DIGITS, MAX_INT, MIN_INT

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+\Z")
BASED_INT = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
"""The core schema's floats, integers among them."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


class BadScalar(ValueError):
    """A value that JSON cannot carry; the message says what was found, without place."""


def whole(text: str, base: int = 10) -> int:
    """Raises `BadScalar` outside 64 bits."""
    if len(text) > MAX_DIGITS:
        raise BadScalar(f"a whole number of {len(text)} characters")
    number = int(text, base)
    if not MIN_INT <= number <= MAX_INT:
        raise BadScalar("a whole number outside 64 bits")
    return number


def real(text: str) -> float:
    """Raises `BadScalar` for what overflows to infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise BadScalar("a number that is not finite")
    return number


def plain(text: str) -> Scalar:
    """The value of an unquoted, untagged scalar. Raises `BadScalar`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INT.match(text):
        return whole(text)
    if BASED_INT.match(text):
        return whole(text[2:], 8 if text[1] == "o" else 16)
    if FLOAT.match(text):
        return real(text)
    if _NOT_FINITE.match(text):
        raise BadScalar("a number that is not finite")
    return text


def checked(text: str) -> str:
    """`text`, when it can be stored. Raises `BadScalar` for NUL and lone surrogates."""
    if "\0" in text:
        raise BadScalar("a NUL character")
    if not text.isascii() and _SURROGATE.search(text):
        raise BadScalar("half of a surrogate pair")
    return text
