"""JSON: read, and written again with less around it; arrays of like objects become tables.

    {"a": {"id": 7, "tags": ["x", "y"]}, "rows": [{"n": 1, "t": "u"}, {"n": 2, "t": "v"}]}

becomes

    a:
     id: 7
     tags: x, y
    rows:
     n | t
     1 | u
     2 | v

What quotes and `>` mean: `json_notation`. A document with a key twice in one object, or with a number that cannot be
read, is not written again.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ossa.vortex.kinds import leaves
from ossa.vortex.kinds.json_notation import Notation, long_text, name_of, read
from ossa.vortex.kinds.lines import Shapes
from ossa.vortex.piece import Piece
from ossa.vortex.signals import fault_weight

DEEP = 60
"""A document of more levels is not written again."""

LONG_CHARS = 500
TABLE_ROWS = 5
"""A table of fewer rows is cut to its cells, when there is a choice."""

LISTED = 8
"""Scalars of a list in one piece."""

CELL_CHARS = 200
REFERENCE = re.compile(
    r"^(?!\d{1,2}:\d\d)(?!\d{1,5}(?:\.\d*)?$)(?:(?=.*\d)[A-Za-z0-9][\w./:@+-]{2,}|[A-Z][A-Z0-9_-]{2,}"
    r"|[\w-]+(?:[./:_@][\w-]+)+)$"
)
"""Values by which other calls refer to a thing: ids, dates, codes, names with digits or dots. No times or amounts."""

REFERENCE_KEY = re.compile(r"(?i)(?:^|_|\b)(?:id|name|number|code|key|uuid|ref|user|first_name|last_name)s?$")
REFERENCE_WORTH = 0.6


def split(text: str, shapes: Shapes, *, terse: bool = False) -> list[Piece] | None:
    """None when it is not JSON after all."""
    documents = read(text)
    if not documents or not all(isinstance(value, dict | list) for value in documents):
        return None
    if terse and not (len(documents) == 1 and isinstance(documents[0], list) and _long_table(documents[0])):
        pieces = leaves.split(documents[0] if len(documents) == 1 else documents, shapes)
        if pieces is not None:
            return pieces
    writer = _Writer(shapes, Notation(documents))
    try:
        writer.documents(documents)
    except _TooDeep:
        return None
    return writer.pieces


def _long_table(rows: list[Any]) -> bool:
    return len(rows) >= TABLE_ROWS and bool(_columns(rows))


class _TooDeep(Exception):
    pass


class _Writer:
    def __init__(self, shapes: Shapes, notation: Notation) -> None:
        self._shapes = shapes
        self._notation = notation
        self.pieces: list[Piece] = []
        self._group = 0

    def documents(self, documents: list[Any]) -> None:
        if len(documents) > 1 and _columns(documents):
            documents = [documents]
        for value in documents:
            self.value(value, depth=0, head=-1)

    def value(self, value: Any, *, depth: int, head: int, key: str = "") -> None:
        if depth > DEEP:
            raise _TooDeep
        if isinstance(value, dict):
            self._object(value, depth, head)
        elif isinstance(value, list):
            self._array(value, depth, head, key)
        else:
            self._leaf("", value, depth, head)

    def _object(self, value: dict[str, Any], depth: int, head: int) -> None:
        if len(value) > 1 and all(isinstance(item, dict) and item and _flat(item) for item in value.values()):
            self._keyed(value, depth, head)
            return
        for key, item in value.items():
            if not isinstance(item, dict | list) or not item:
                self._leaf(f"{name_of(key)}: ", item, depth, head, key)
            elif _scalars(item):
                self._listed(key, item, depth, head)
            elif isinstance(item, dict) and len(item) == 1 and _flat(next(iter(item.values()), None)):
                self._keyed(item, depth + 1, self._add(f"{' ' * depth}{name_of(key)}:", head))
            else:
                opened = self._add(f"{' ' * depth}{name_of(key)}:", head)
                self.value(item, depth=depth + 1, head=opened, key=key)

    def _keyed(self, value: dict[str, dict[str, Any]], depth: int, head: int) -> None:
        """Objects by key: the key is what is referred to, the rest comes after it if it is worth it."""
        for key, item in value.items():
            self._group += 1
            rest = self._row(item)
            opened = self._add(f"{' ' * depth}{name_of(key)}", head, prior=_reference(key), glue=" ")
            self._add(rest, opened, prior=fault_weight(rest))

    def _listed(self, key: str, value: Any, depth: int, head: int) -> None:
        """A list of scalars: in parts, when it is long."""
        opened = -1
        for at in range(0, len(value), LISTED):
            part = ", ".join(self._notation.value(item, key, ",") for item in value[at : at + LISTED])
            prior = max([fault_weight(part), *(_reference(_scalar(item)) for item in value[at : at + LISTED])])
            if opened < 0:
                opened = self._add(f"{' ' * depth}{name_of(key)}: {part}", head, prior=prior)
            else:
                self._add(f"{' ' * depth} {part}", opened, prior=prior)

    def _array(self, value: list[Any], depth: int, head: int, key: str = "") -> None:
        columns = _columns(value)
        if columns:
            self._table(value, columns, depth, head)
            return
        for item in value:
            self._group += 1
            if isinstance(item, dict | list) and item:
                row = self._row(item) if isinstance(item, dict) and _flat(item) else ""
                if row and len(row) <= LONG_CHARS:
                    self._add(f"{' ' * depth}- {row}", head, prior=fault_weight(row))
                else:
                    opened = self._add(f"{' ' * depth}-", head)
                    self.value(item, depth=depth + 1, head=opened, key=key)
            else:
                self._leaf("- ", item, depth, head, key)

    def _table(self, value: list[dict[str, Any]], columns: list[str], depth: int, head: int) -> None:
        indent = " " * depth
        cells = {name: [self._cell(row[name], name) for row in value] for name in columns}
        constant = {name: column[0] for name, column in cells.items() if column.count(column[0]) == len(column)}
        varying = [name for name in columns if name not in constant] or columns[:1]
        same = ", ".join(f"{name_of(name)}={cell}" for name, cell in constant.items() if name not in varying)
        if same and len(value) > 1:
            head = self._add(f"{indent}all: {same}", head, prior=0.3)
        named = [name for name in varying if _refers(value, name)]
        rest = [name for name in varying if name not in named]
        if not named:
            named, rest = rest[:1], rest[1:]
        head = self._add(f"{indent}{'|'.join(map(name_of, named))}", head, prior=0.1, glue=" | " if rest else "\n")
        rest_head = self._add("|".join(map(name_of, rest)), head, prior=0.1) if rest else head
        for number in range(len(value)):
            self._group += 1
            text = "|".join(cells[name][number] for name in named)
            prior = max([fault_weight(text), *(_reference(_scalar(value[number][name])) for name in named)])
            first = self._add(f"{indent}{text}", head, prior=prior, glue=" | " if rest else "\n")
            if rest:
                text = "|".join(cells[name][number] for name in rest)
                self._add(text, first, prior=fault_weight(text), needs=rest_head)

    def _leaf(self, label: str, value: Any, depth: int, head: int, key: str = "") -> None:
        text = self._notation.value(value, key)
        indent = " " * depth
        if isinstance(value, str) and (len(value) > LONG_CHARS or "\n" in value):
            parts = long_text(f"{indent}{label.rstrip(' :')}", value, self._shapes)
            self._group += 1 if parts else 0
            for part in parts:
                self._add(part.text, head, prior=part.prior, template=part.template)
            if parts:
                return
        prior = max(fault_weight(f"{label}{text}"), _reference(text), 0.4 if REFERENCE_KEY.search(key) else 0.0)
        if value in ("", None):
            prior = 0.0
        self._add(f"{indent}{label}{text}", head, prior=prior)

    def _cell(self, value: Any, key: str) -> str:
        return self._row(value) if isinstance(value, dict) else self._notation.value(value, key)

    def _row(self, value: dict[str, Any]) -> str:
        return " ".join(f"{name_of(key)}={self._notation.value(item, key)}" for key, item in value.items()) or "{}"

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


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _scalars(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(not isinstance(item, dict | list) and len(str(item)) < 60 for item in value) and len(value) <= 40


def _flat(value: Any) -> bool:
    return isinstance(value, dict) and all(not isinstance(item, dict | list) for item in value.values())


def _columns(value: list[Any]) -> list[str]:
    """The keys of an array of like objects; nothing when it is no table."""
    if not value or not all(isinstance(item, dict) for item in value):
        return []
    columns = list(value[0])
    if not columns or any(list(item) != columns for item in value):
        return []
    return columns if all(_short(cell) for item in value for cell in item.values()) else []


def _short(cell: Any) -> bool:
    if isinstance(cell, dict):
        return _flat(cell) and sum(len(key) + len(str(value)) + 2 for key, value in cell.items()) <= CELL_CHARS
    return not isinstance(cell, list) and (not isinstance(cell, str) or len(cell) <= CELL_CHARS)
