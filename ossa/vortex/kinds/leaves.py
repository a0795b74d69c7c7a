"""A short JSON, leaf by leaf: `key=value`, of which the value alone can stay.

    {"id": "K1", "to": [{"code": "IAH", "on": "2024-05-18"}], "tags": ["x", "y"]}

becomes the pieces `id=K1`, `code=IAH`, `on=2024-05-18`, `tags=x`, `tags=y`, one line an object.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.kinds.lines import split as split_lines
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
    writer = _Leaves(shapes)
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
    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._group = 0
        self.pieces: list[Piece] = []

    def value(self, value: Any, path: str, depth: int) -> None:
        if depth > DEEP or len(self.pieces) > MOST:
            raise _TooMany
        if isinstance(value, dict) and value:
            self._group += 1
            for key, one in value.items():
                if isinstance(one, dict) and one:
                    self._group += 1
                    self._leaf(key, f"{path}.{key}{{}}", alone=True)
                self.value(one, f"{path}.{key}", depth + 1)
            self._group += 1
        elif isinstance(value, list) and value:
            for one in value:
                self.value(one, f"{path}[]", depth + 1)
        else:
            self._leaf(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), path)

    def _leaf(self, text: str, path: str, *, alone: bool = False) -> None:
        key = key_of(path)
        if len(text) > LONG_CHARS or "\n" in text:
            self._group += 1
            for part in split_lines(text, "log", self._shapes):
                part.group = self._group
                self.pieces.append(part)
            return
        if alone:
            whole = f"{text}:"
        elif text in ("", "null", "[]", "{}"):
            self.pieces.append(Piece(f"{key}={text}", group=self._group, path=path))
            return
        else:
            whole = f"{key}={_quoted(text)}" if key else _quoted(text)
        brief = "" if MEANINGLESS.match(text) else text
        self.pieces.append(Piece(whole, group=self._group, prior=fault_weight(whole), brief=brief, path=path))


def key_of(path: str) -> str:
    """`flights[].date` is called `date`, `tags[]` `tags`."""
    return path.rstrip("[]{}").rsplit(".", 1)[-1]


def value_of(piece: Piece) -> str:
    return piece.brief or piece.text.partition("=")[2].strip('"')


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text and '"' not in text else text
