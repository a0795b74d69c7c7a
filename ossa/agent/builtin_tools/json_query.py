"""Look a value up in a JSON document by a simple path."""

from __future__ import annotations

import re
from typing import Any

import orjson

from ossa.agent.tools import tool

_PART = re.compile(r"""\.?([^.\[\]"'*]+)|\[(-?\d+)\]|\[(?:"([^"]*)"|'([^']*)')\]|(\.\*|\[\*\]|\*)""")
_ALL = object()


@tool(effects="none")
async def json_query(document: str, path: str = "$") -> Any:
    """Read a value from a JSON document by a path such as $.orders[0].price or orders[*].price ([*]: every one)."""
    try:
        values = [orjson.loads(document)]
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the document is not JSON: {error}") from None
    parts = _parts(path)
    for part in parts:
        values = [found for value in values for found in _step(value, part, path)]
    return values if _ALL in parts else values[0]


def _parts(path: str) -> list[Any]:
    rest = path.strip().removeprefix("$")
    parts: list[Any] = []
    position = 0
    while position < len(rest):
        found = _PART.match(rest, position)
        if found is None:
            raise ValueError(f"cannot read the path at {rest[position:]!r}; use forms such as $.a.b[0] or a[*].b")
        name, index, double, single, every = found.groups()
        parts.append(
            _ALL if every else int(index) if index else next(t for t in (name, double, single) if t is not None)
        )
        position = found.end()
    return parts


def _step(value: Any, part: Any, path: str) -> list[Any]:
    if part is _ALL:
        if isinstance(value, dict):
            return list(value.values())
        if isinstance(value, list):
            return value
    elif isinstance(part, int) and isinstance(value, list) and -len(value) <= part < len(value):
        return [value[part]]
    elif isinstance(value, dict) and str(part) in value:
        return [value[str(part)]]
    shown = "*" if part is _ALL else part
    raise ValueError(f"nothing at {shown!r} of {path!r}; there: {_shape(value)}")


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(list(value)[:20]) or 'no keys'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{type(value).__name__} {str(value)[:40]!r}"
