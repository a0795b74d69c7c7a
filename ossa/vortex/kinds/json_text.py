"""JSON: read, and written again with less around it; arrays of like objects become tables.

    {"a": {"id": 7, "tags": ["x", "y"]}, "rows": [{"n": 1, "t": "u"}, {"n": 2, "t": "v"}]}

becomes

    a:
     id: 7
     tags: x, y
    rows: n|t
     1|u
     2|v
"""

from __future__ import annotations

import json
import re
from typing import Any

from ossa.vortex.kinds import leaves, lines
from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.piece import Piece
from ossa.vortex.signals import fault_weight

DEEP = 60
"""Levels that are written out; what lies deeper stays in JSON."""

LONG_CHARS = 500
TABLE_ROWS = 5
"""A table of fewer rows is cut to its cells, when there is a choice."""

LISTED = 8
"""Scalars of a list in one piece."""

PLAIN = re.compile(r"^[^\n|]*$")
REFERENCE = re.compile(
    r"^(?!\d{1,2}:\d\d)(?!\d{1,5}(?:\.\d*)?$)(?:(?=.*\d)[A-Za-z0-9][\w./:@+-]{2,}|[A-Z][A-Z0-9_-]{2,}"
    r"|[\w-]+(?:[./:_@][\w-]+)+)$"
)
"""What other calls refer to a thing by: ids, dates, codes, names with digits or dots in them. Not times or amounts."""

REFERENCE_KEY = re.compile(r"(?i)(?:^|_|\b)(?:id|name|number|code|key|uuid|ref|user|first_name|last_name)s?$")
REFERENCE_WORTH = 0.6


def split(text: str, shapes: Shapes, *, terse: bool = False) -> list[Piece] | None:
    """None when it is not JSON after all."""
    documents = _documents(text)
    if not documents or not all(isinstance(value, dict | list) for value in documents):
        return None
    if terse and not (len(documents) == 1 and isinstance(documents[0], list) and _long_table(documents[0])):
        found = leaves.split(documents[0] if len(documents) == 1 else documents, shapes)
        if found is not None:
            return found
    writer = _Writer(shapes)
    if len(documents) > 1 and _columns(documents):
        writer.value(documents, depth=0, head=-1)
    else:
        for value in documents:
            writer.value(value, depth=0, head=-1)
    return writer.pieces


def _long_table(rows: list[Any]) -> bool:
    return len(rows) >= TABLE_ROWS and bool(_columns(rows))


def _documents(text: str) -> list[Any]:
    """One document, or one a line; none when it is neither."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return []


class _Writer:
    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self.pieces: list[Piece] = []
        self._group = 0

    def value(self, value: Any, *, depth: int, head: int) -> None:
        if isinstance(value, dict):
            self._object(value, depth, head)
        elif isinstance(value, list):
            self._array(value, depth, head)
        else:
            self._leaf("", value, depth, head)

    def _object(self, value: dict[str, Any], depth: int, head: int) -> None:
        if len(value) > 1 and all(isinstance(one, dict) and one and _flat(one) for one in value.values()):
            self._keyed(value, depth, head)
            return
        for key, one in value.items():
            if not isinstance(one, dict | list) or not one:
                self._leaf(f"{key}: ", one, depth, head, key)
            elif _scalars(one):
                self._listed(key, one, depth, head)
            elif depth >= DEEP:
                self._leaf(f"{key}: ", json.dumps(one, ensure_ascii=False), depth, head, key)
            elif isinstance(one, dict) and len(one) == 1 and _flat(next(iter(one.values()), None)):
                self._keyed(one, depth + 1, self._add(f"{' ' * depth}{key}:", head))
            else:
                opened = self._add(f"{' ' * depth}{key}:", head)
                self.value(one, depth=depth + 1, head=opened)

    def _keyed(self, value: dict[str, dict[str, Any]], depth: int, head: int) -> None:
        """Objects by key: the key is what is referred to, the rest comes after it if it is worth it."""
        for key, one in value.items():
            self._group += 1
            rest = " ".join(f"{name}={_scalar(cell)}" for name, cell in one.items() if cell != key)
            opened = self._add(f"{' ' * depth}{key}", head, prior=_reference(key), glue=" ")
            self._add(rest, opened, prior=_worth(rest))

    def _listed(self, key: str, value: Any, depth: int, head: int) -> None:
        """A list of scalars: in parts, when it is long."""
        opened = -1
        for at in range(0, len(value), LISTED):
            part = ", ".join(map(_scalar, value[at : at + LISTED]))
            prior = max([_worth(part), *(_reference(_scalar(one)) for one in value[at : at + LISTED])])
            if opened < 0:
                opened = self._add(f"{' ' * depth}{key}: {part}", head, prior=prior)
            else:
                self._add(f"{' ' * depth} {part}", opened, prior=prior)

    def _array(self, value: list[Any], depth: int, head: int) -> None:
        columns = _columns(value)
        if columns:
            self._table(value, columns, depth, head)
            return
        for one in value:
            self._group += 1
            if isinstance(one, dict | list) and one and depth < DEEP:
                if isinstance(one, dict) and _flat(one) and len(_row(one)) <= LONG_CHARS:
                    self._add(f"{' ' * depth}- {_row(one)}", head, prior=_worth(_row(one)))
                else:
                    opened = self._add(f"{' ' * depth}-", head)
                    self.value(one, depth=depth + 1, head=opened)
            else:
                self._leaf("- ", one if not isinstance(one, dict | list) else json.dumps(one), depth, head)

    def _table(self, value: list[dict[str, Any]], columns: list[str], depth: int, head: int) -> None:
        indent = " " * depth
        constant = {name: value[0][name] for name in columns if all(row[name] == value[0][name] for row in value)}
        varying = [name for name in columns if name not in constant] or columns[:1]
        same = ", ".join(f"{name}={_scalar(one)}" for name, one in constant.items() if name not in varying)
        if same and len(value) > 1:
            head = self._add(f"{indent}all: {same}", head, prior=0.3)
        named = [name for name in varying if _refers(value, name)]
        rest = [name for name in varying if name not in named]
        if not named:
            named, rest = rest[:1], rest[1:]
        head = self._add(f"{indent}{'|'.join(named)}", head, prior=0.1, glue=" | " if rest else "\n")
        rest_head = self._add("|".join(rest), head, prior=0.1) if rest else head
        for row in value:
            self._group += 1
            text = "|".join(_scalar(row[name]) for name in named)
            prior = max([_worth(text), *(_reference(_scalar(row[name])) for name in named)])
            first = self._add(f"{indent}{text}", head, prior=prior, glue=" | " if rest else "\n")
            if rest:
                text = "|".join(_scalar(row[name]) for name in rest)
                self._add(text, first, prior=_worth(text), needs=rest_head)

    def _leaf(self, label: str, value: Any, depth: int, head: int, key: str = "") -> None:
        text = _scalar(value)
        indent = " " * depth
        if len(text) > LONG_CHARS or "\n" in text:
            opened = self._add(f"{indent}{label.rstrip()}", head) if label.strip(" -") else head
            self._text(text, opened)
            return
        prior = max(_worth(f"{label}{text}"), _reference(text), 0.4 if REFERENCE_KEY.search(key) else 0.0)
        if text in ("", "null"):
            prior = 0.0
        self._add(f"{indent}{label}{text}", head, prior=prior)

    def _text(self, text: str, head: int) -> None:
        """A long string in JSON is a document of its own; its lines are the pieces."""
        self._group += 1
        for piece in lines.split(text, "log", self._shapes):
            self._add(piece.text, head, prior=piece.prior, template=piece.template)

    def _add(
        self, text: str, head: int, *, prior: float = 0.0, template: int = -1, glue: str = "\n", needs: int = -1
    ) -> int:
        piece = Piece(text, group=self._group, head=head, also=needs, prior=prior, template=template, glue=glue)
        self.pieces.append(piece)
        return len(self.pieces) - 1


def _reference(text: str) -> float:
    return REFERENCE_WORTH if REFERENCE.match(text) else 0.0


def _refers(rows: list[dict[str, Any]], name: str) -> bool:
    """Most cells of that column are what other calls refer to."""
    looked = rows[:20]
    return 2 * sum(bool(REFERENCE.match(_scalar(row[name]))) for row in looked) > len(looked)


def _worth(text: str) -> float:
    return fault_weight(text)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and _flat(value):
        return _row(value)
    return json.dumps(value, ensure_ascii=False)


def _scalars(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(not isinstance(one, dict | list) and len(str(one)) < 60 for one in value) and len(value) <= 40


def _flat(value: Any) -> bool:
    return isinstance(value, dict) and all(not isinstance(one, dict | list) for one in value.values())


def _row(value: dict[str, Any]) -> str:
    return " ".join(f"{key}={_scalar(one)}" for key, one in value.items())


def _columns(value: list[Any]) -> list[str]:
    """The keys of an array of like objects; nothing when it is no table."""
    if not value or not all(isinstance(one, dict) for one in value):
        return []
    columns = list(value[0])
    if not columns or any(list(one) != columns for one in value):
        return []
    cells = [cell for one in value[:50] for cell in one.values()]
    small = all(not isinstance(cell, list) and (not isinstance(cell, dict) or _flat(cell)) for cell in cells)
    return columns if small and all(len(_scalar(cell)) <= 200 and PLAIN.match(_scalar(cell)) for cell in cells) else []
