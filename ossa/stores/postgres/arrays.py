"""Array parameters of the journal's one hot statement.

psycopg finds the type of a list by looking at its items, so an empty list and
a full one make two different statements; these have one type always, and are
packed in one pass.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD = Struct("!iii")
_DIMENSION = Struct("!ii")
_LENGTH = Struct("!i")
_NULL = b"\xff\xff\xff\xff"


class Texts(list["str | bytes | None"]):
    """text[]; bytes are UTF-8 already."""


class Integers(list["int | None"]):
    """integer[]"""


class BigIntegers(list[int]):
    """bigint[]"""


class Doubles(list[float]):
    """double precision[]"""


class _ArrayDumper(Dumper):
    format = Format.BINARY
    item_oid: int

    def dump(self, obj: Any) -> Buffer:
        if not obj:
            return _HEAD.pack(0, 0, self.item_oid)
        has_null = None in obj
        parts = [_HEAD.pack(1, has_null, self.item_oid), _DIMENSION.pack(len(obj), 1)]
        self.pack_items(obj, parts)
        return b"".join(parts)

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        raise NotImplementedError


class _TextsDumper(_ArrayDumper):
    oid, item_oid = 1009, 25

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        add, length = parts.append, _LENGTH.pack
        for item in obj:
            if item is None:
                add(_NULL)
            else:
                data = item if type(item) is bytes else item.encode()
                add(length(len(data)))
                add(data)


class _NumbersDumper(_ArrayDumper):
    item: Struct
    size: int

    def pack_items(self, obj: Any, parts: list[bytes]) -> None:
        pack, size = self.item.pack, self.size
        parts.extend([_NULL if item is None else pack(size, item) for item in obj])


class _IntegersDumper(_NumbersDumper):
    oid, item_oid, item, size = 1007, 23, Struct("!ii"), 4


class _BigIntegersDumper(_NumbersDumper):
    oid, item_oid, item, size = 1016, 20, Struct("!iq"), 8


class _DoublesDumper(_NumbersDumper):
    oid, item_oid, item, size = 1022, 701, Struct("!id"), 8


def register_arrays(context: AdaptContext) -> None:
    """Teach one connection these types."""
    adapters = context.adapters
    assert adapters is not None
    adapters.register_dumper(Texts, _TextsDumper)
    adapters.register_dumper(Integers, _IntegersDumper)
    adapters.register_dumper(BigIntegers, _BigIntegersDumper)
    adapters.register_dumper(Doubles, _DoublesDumper)
