"""A short JSON, leaf by leaf: `key=value`, of which the value alone can stay.

    {"id": "K1", "to": [{"code": "IAH", "on": "2024-05-18"}], "tags": ["x", "y"]}

becomes the pieces `id=K1`, `code=IAH`, `on=2024-05-18`, `tags=x`, `tags=y`, one line an object.

Where an inner object or list ends is not said. What quotes and `>` mean: `json_notation`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ossa.vortex.kinds.json_notation import Notation, long_text, name_of
from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.piece import Piece
from ossa.vortex.signals import fault_weight

DEEP = 60
LONG_CHARS = 80
"""A longer string is a document of its own."""

MEANINGLESS = re.compile(r"(?i)(?:true|false|yes|no|not? .*|none|-?\d{1,2}|-?\d*\.\d+)$")
"""A value that says nothing without its key."""

MOST = 400
"""More leaves than these make tables and outlines instead (`json_text`)."""


def split(document: Any, shapes: Shapes) -> list[Piece] | None:
    """None when it has too many leaves or goes too deep."""
    writer = _Leaves(shapes, Notation(document))
    try:
        writer.value(document, "", 0)
    except _TooMany:
        return None
    for piece, after in zip(writer.pieces, writer.pieces[1:], strict=False):
        piece.glue = " " if piece.path and piece.group == after.group else "\n"
    return writer.pieces


class _TooMany(Exception):
    pass


class _Leaves:
    def __init__(self, shapes: Shapes, notation: Notation) -> None:
        self._shapes = shapes
        self._notation = notation
        self._group = 0
        self.pieces: list[Piece] = []

    def value(self, value: Any, path: str, depth: int, key: str | None = None) -> None:
        if depth > DEEP or len(self.pieces) > MOST:
            raise _TooMany
        if isinstance(value, dict) and value:
            self._group += 1
            for name, item in value.items():
                if isinstance(item, dict) and item:
                    self._group += 1
                    self._heading(name, f"{path}.{name}{{}}")
                self.value(item, f"{path}.{name}", depth + 1, name)
            self._group += 1
        elif isinstance(value, list) and value:
            for item in value:
                self.value(item, f"{path}[]", depth + 1, key)
        else:
            self._leaf(value, path, key)

    def _heading(self, key: str, path: str) -> None:
        """The key of an object."""
        whole = f"{name_of(key)}:"
        brief = "" if MEANINGLESS.match(key) else name_of(key)
        self.pieces.append(Piece(whole, group=self._group, prior=fault_weight(whole), brief=brief, path=path))

    def _leaf(self, value: Any, path: str, key: str | None) -> None:
        name = None if key is None else name_of(key)
        if isinstance(value, str) and (len(value) > LONG_CHARS or "\n" in value):
            parts = long_text(name or "-", value, self._shapes)
            self._group += 1 if parts else 0
            for part in parts:
                part.group = self._group
            self.pieces += parts
            if parts:
                return
        written = self._notation.value(value, key or "", also=" ")
        whole = written if name is None else f"{name}={written}"
        if value in ("", None, [], {}):
            self.pieces.append(Piece(whole, group=self._group, path=path))
            return
        brief = "" if MEANINGLESS.match(value if isinstance(value, str) else written) else written
        self.pieces.append(Piece(whole, group=self._group, prior=fault_weight(whole), brief=brief, path=path))


def key_of(path: str) -> str:
    """`flights[].date` is called `date`, `tags[]` `tags`."""
    return path.rstrip("[]{}").rsplit(".", 1)[-1]


def value_of(piece: Piece) -> str:
    written = piece.brief or piece.text.partition("=")[2]
    try:
        return str(json.loads(written)) if written.startswith('"') else written
    except ValueError:
        return written
