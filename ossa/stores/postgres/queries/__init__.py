"""The named queries: blocks of a .sql file that begin with `-- name: NAME`."""

from __future__ import annotations

import re
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(file: str) -> dict[str, LiteralString]:
    """Name -> statement. The files are part of the program, which is what `LiteralString` asserts."""
    text = (resources.files(__name__) / file).read_text("utf-8")
    parts = _NAME.split(text)[1:]
    return {name: cast(LiteralString, sql.strip()) for name, sql in zip(parts[::2], parts[1::2], strict=True)}
