"""JSON read without loss, and the notation that `leaves` and `json_text` write it in.

What is bare is a name, a number, true, false or null, or a string that can be taken for nothing else. In quotes is
JSON: a string that holds a separator, begins like a field or an item, or reads as another type. A string that reads as
a number is bare where no number stands under its key in the whole document, so that ids cost nothing. A long text is
`key> first line` (an item's: `-> `); each further line begins with `> `, the rest of a line that was cut with `>> `.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.kinds.lines import split as split_lines
from ossa.vortex.piece import Piece

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
BREAK = re.compile(r"\r(?!\n)|[\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029\ud800-\udfff]")
"""Characters that some readers take for the end of a line, and those that cannot be encoded."""

SEPARATOR = re.compile(r"[|\n\r\t\"=]|^[\[{>\s]|^-(?:\s|$)|^\S+[:>]\s|[:>\s]$")
"""A bare string must not hold, begin with or end with these. `^\\S+[:>]\\s` would be a key at the start of a line."""

OTHER_TYPE = frozenset({"", "true", "false", "null"})
PLAIN_KEY = re.compile(r"[\w$@./][^\s\"=|:>,{}\[\]]*")


class Literal(float):
    """A number with a point or an exponent, which is kept as it was written."""

    text: str

    def __new__(cls, text: str) -> Literal:
        """Raises ValueError for one that is not finite or too large to be read."""
        number = super().__new__(cls, text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is no finite number")
        number.text = text
        return number


def read(text: str) -> list[Any]:
    """One document, or one a line.

    Empty when it is neither, has a key twice in one object, or a number that cannot be read.
    """
    try:
        return [_document(text)]
    except (ValueError, RecursionError):
        pass
    try:
        return [_document(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return []


def _document(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_float=Literal, parse_constant=Literal)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key is there twice")
    return mapping


class Notation:
    """Writes the scalars of one document."""

    def __init__(self, document: Any) -> None:
        self._numbers = _keys_of_numbers(document)

    def value(self, value: Any, key: str = "", also: str = "") -> str:
        """Writes a scalar, or an empty list or object. `also` are the characters that separate values in its place."""
        if isinstance(value, Literal):
            return value.text
        if not isinstance(value, str):
            return json.dumps(value)
        reads_otherwise = value in OTHER_TYPE or (key in self._numbers and NUMBER.fullmatch(value))
        if reads_otherwise or SEPARATOR.search(value) or BREAK.search(value) or any(char in value for char in also):
            return _in_quotes(value)
        return value


def name_of(key: str) -> str:
    """A key as it is written."""
    return key if PLAIN_KEY.fullmatch(key) and not BREAK.search(key) else _in_quotes(key)


def long_text(label: str, text: str, shapes: Shapes) -> list[Piece]:
    """The pieces of a text that is told in lines.

    Empty when it cannot be: it is blank, or has other ends of lines than `\\n` and `\\r\\n`.
    """
    if BREAK.search(text) or not text.strip():
        return []
    parts = split_lines(text, "log", shapes)
    begins: list[int] = []
    at = 0
    for part in parts:
        begins.append(text.index(part.text, at))
        at = begins[-1] + len(part.text)
    mark = f"{label}> "
    for part, begin, end in zip(parts, [0, *begins[1:]], [*begins[1:], len(text)], strict=True):
        line = text[begin:end]
        ends_line = end < len(text) and line.endswith("\n")
        part.text = mark + (line[:-1] if ends_line else line).replace("\n", "\n> ")
        mark = "> " if ends_line else ">> "
    return parts


def _in_quotes(text: str) -> str:
    return json.dumps(text, ensure_ascii=BREAK.search(text) is not None)


def _keys_of_numbers(document: Any) -> set[str]:
    """Keys under which a number stands somewhere; that of a list is its items'."""
    keys: set[str] = set()
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left.extend(value.items())
        elif isinstance(value, list):
            left.extend((key, item) for item in value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            keys.add(key)
    return keys
