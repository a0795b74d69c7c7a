"""A parsed document: plain JSON-ready values, and the line each came from.

Plain YAML scalars are read by the YAML 1.2 core schema, so that `on` and `2025-09-06` stay text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ossa.contracts.errors import ManifestError
from ossa.manifest.bounds import MAX_ALIASES, MAX_CHARS, MAX_DEPTH, MAX_DIGITS, MAX_INT, MAX_NODES, MIN_INT
from ossa.manifest.fault import Path, fault, shown

Scalar = str | int | float | bool | None

_TOO_MUCH = "a smaller file, or several"
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
FLATTER = "a flatter document"


@dataclass(frozen=True, slots=True)
class Tree:
    """One document. `lines` knows the paths as written; what an alias repeats has the alias's line."""

    data: Any
    lines: dict[Path, int]
    source: str

    def line(self, path: Path) -> int | None:
        """The line of the value at `path`, or of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


@dataclass(slots=True)
class _Size:
    """The cost of a value when it is written out in full."""

    nodes: int = 0
    chars: int = 0


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    start: _Size
    key: str | None = None
    merging: bool = False
    merges: list[dict[str, Any]] = field(default_factory=list)


class TreeBuilder:
    """Builds trees from a reader's calls, within bounds, and refuses what JSON cannot hold.

    It keeps a stack instead of recursing, and an alias is counted as all it
    stands for, so time and memory stay bounded whatever the text says. Every
    method raises `ManifestError` with line and path. The budget is one file's.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._spent = _Size()
        self._aliases = 0
        self._reset()

    def _reset(self) -> None:
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, _Size]] = {}
        self._lines: dict[Path, int] = {}
        self._root: Any = None

    def finish(self) -> Tree:
        """The document that was fed, once its last value is closed; then ready for the next."""
        tree = Tree(self._root, self._lines, self.source)
        self._reset()
        return tree

    def open_mapping(self, line: int, anchor: str | None = None) -> None:
        self._open({}, line, anchor)

    def open_list(self, line: int, anchor: str | None = None) -> None:
        self._open([], line, anchor)

    def close(self, line: int) -> None:
        frame = self._stack.pop()
        if isinstance(frame.value, dict):
            for merged in frame.merges:
                for key, value in merged.items():
                    frame.value.setdefault(key, value)
        if frame.anchor:
            spent = self._spent
            size = _Size(spent.nodes - frame.start.nodes, spent.chars - frame.start.chars)
            self._anchors[frame.anchor] = (frame.value, size)
        self._place(frame.value, line)

    def scalar(self, text: str, value: Scalar, line: int, anchor: str | None = None, *, is_plain: bool = False) -> None:
        """A value or, where a key is due, a key: keys are always the text as written."""
        self._spend(_Size(1, len(text)), line)
        try:
            checked(text)
        except BadScalar as bad:
            raise self.refuse(str(bad), line, "text without it") from None
        if anchor:
            self._anchors[anchor] = (value, _Size(1, len(text)))
        if self._key_due():
            self._take_key(text, line, merge=is_plain and text == "<<")
        else:
            self._note(line)
            self._place(value, line)

    def alias(self, name: str, line: int) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self.refuse(f"more than {MAX_ALIASES} aliases", line, _TOO_MUCH)
        if name not in self._anchors:
            raise self.refuse(f"alias *{name[:40]} stands for nothing, or for itself", line, "an anchor before it")
        if self._key_due():
            raise self.refuse("an alias as a key", line, "a text key")
        value, size = self._anchors[name]
        self._spend(size, line)
        self._note(line)
        self._place(value, line)

    def refuse(self, problem: str, line: int | None, expected: str = "") -> ManifestError:
        """An error at the value being read."""
        error = fault(problem, source=self.source, line=line, path=self._path(), expected=expected)
        error.details["kind"] = self.kind()
        return error

    def kind(self) -> str:
        """The `kind` of the document being read, as far as it got; empty for none."""
        root = self._stack[0].value if self._stack else None
        kind = root.get("kind") if isinstance(root, dict) else None
        return kind if isinstance(kind, str) else ""

    def _open(self, value: dict[str, Any] | list[Any], line: int, anchor: str | None) -> None:
        if self._key_due():
            raise self.refuse("a mapping or list as a key", line, "a text key")
        if len(self._stack) >= MAX_DEPTH:
            raise self.refuse(TOO_DEEP, line, FLATTER)
        start = _Size(self._spent.nodes, self._spent.chars)
        self._spend(_Size(1, 0), line)
        self._note(line)
        self._stack.append(_Frame(value, anchor, start))

    def _key_due(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _take_key(self, key: str, line: int, *, merge: bool) -> None:
        frame = self._stack[-1]
        if not merge and key in frame.value:
            raise self.refuse(f"duplicate key {shown(key)}", line, "each key once in a mapping")
        frame.key = key
        frame.merging = merge

    def _place(self, value: Any, line: int) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
            return
        if frame.merging:
            self._merge(frame, value, line)
        elif frame.key is not None:
            frame.value[frame.key] = value
        frame.key = None
        frame.merging = False

    def _merge(self, frame: _Frame, value: Any, line: int) -> None:
        """`<<: *defaults`: its keys join at the end, below the mapping's own."""
        for merged in value if isinstance(value, list) else [value]:
            if not isinstance(merged, dict):
                raise self.refuse("`<<` merges a value that is no mapping", line, "a mapping")
            frame.merges.append(merged)

    def _spend(self, size: _Size, line: int) -> None:
        self._spent.nodes += size.nodes
        self._spent.chars += size.chars
        if self._spent.nodes > MAX_NODES:
            raise self.refuse(f"more than {MAX_NODES} values (aliases written out)", line, _TOO_MUCH)
        if self._spent.chars > MAX_CHARS:
            raise self.refuse(f"more than {MAX_CHARS} characters (aliases written out)", line, _TOO_MUCH)

    def _path(self) -> Path:
        path: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.value, list):
                path.append(len(frame.value))
            elif frame.key is not None:
                path.append(frame.key)
        return tuple(path)

    def _note(self, line: int) -> None:
        self._lines[self._path()] = line


_LINE = 0


def read_plain(document: Mapping[str, Any], source: str) -> Tree:
    """A copy of `document`. Raises `ManifestError` for what JSON cannot hold or what is out of bounds."""
    builder = TreeBuilder(source)
    _feed_plain(builder, document)
    return builder.finish()


def _feed_plain(builder: TreeBuilder, value: Any) -> None:
    """Recursive; the builder's depth limit ends it."""
    match value:
        case Mapping():
            builder.open_mapping(_LINE)
            for key, item in value.items():
                if not isinstance(key, str):
                    raise builder.refuse(f"key {shown(key)}", _LINE, "a text key")
                builder.scalar(key, key, _LINE)
                _feed_plain(builder, item)
            builder.close(_LINE)
        case list() | tuple():
            builder.open_list(_LINE)
            for item in value:
                _feed_plain(builder, item)
            builder.close(_LINE)
        case None | bool() | int() | float() | str():
            _feed_scalar(builder, value)
        case _:
            raise builder.refuse(f"a {type(value).__name__}", _LINE, "a value JSON can hold")


def _feed_scalar(builder: TreeBuilder, value: str | float | None) -> None:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            whole(f"{value:d}" if value.bit_length() <= 128 else "9" * 99)
        elif isinstance(value, float):
            real(repr(value))
    except BadScalar as bad:
        raise builder.refuse(str(bad), _LINE, "a value JSON can hold") from None
    builder.scalar(value if isinstance(value, str) else repr(value), value, _LINE)


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
