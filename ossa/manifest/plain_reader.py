"""Values that were parsed elsewhere to a tree, under the same bounds. It has no lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ossa.manifest.fault import shown
from ossa.manifest.scalars import BadScalar, real, whole
from ossa.manifest.tree import Tree, TreeBuilder

_LINE = 0


def read_plain(document: Mapping[str, Any], source: str) -> Tree:
    """A copy of `document`. Raises `ManifestError` for what JSON cannot hold or what is out of bounds."""
    builder = TreeBuilder(source)
    _feed(builder, document)
    return builder.finish()


def _feed(builder: TreeBuilder, value: Any) -> None:
    """Recursive; the builder's depth limit ends it."""
    match value:
        case Mapping():
            builder.open_mapping(_LINE)
            for key, item in value.items():
                if not isinstance(key, str):
                    raise builder.refuse(f"key {shown(key)}", _LINE, "a text key")
                builder.scalar(key, key, _LINE)
                _feed(builder, item)
            builder.close(_LINE)
        case list() | tuple():
            builder.open_list(_LINE)
            for item in value:
                _feed(builder, item)
            builder.close(_LINE)
        case None | bool() | int() | float() | str():
            _scalar(builder, value)
        case _:
            raise builder.refuse(f"a {type(value).__name__}", _LINE, "a value JSON can hold")


def _scalar(builder: TreeBuilder, value: str | float | None) -> None:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            whole(f"{value:d}" if value.bit_length() <= 128 else "9" * 99)
        elif isinstance(value, float):
            real(repr(value))
    except BadScalar as bad:
        raise builder.refuse(str(bad), _LINE, "a value JSON can hold") from None
    builder.scalar(value if isinstance(value, str) else repr(value), value, _LINE)
