"""Rows of another version of this program: what cannot be read is left out and told, and the rest is served."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import ValidationError

from ossa.stores.postgres.connection import Row

logger = logging.getLogger(__name__)
T = TypeVar("T")


def readable(rows: Iterable[Row], make: Callable[[Row], T], *, what: str, named: str) -> list[tuple[Row, T]]:
    """Each row that `make` can read, and what it made.

    Args:
        what: of the log entry.
        named: the column that names the row there; nothing else of it is logged.
    """
    found: list[tuple[Row, T]] = []
    for row in rows:
        try:
            found.append((row, make(row)))
        except ValidationError as error:
            fields = sorted({".".join(map(str, fault["loc"][:1])) for fault in error.errors()})
            logger.error("store_row_unreadable", extra={"what": what, named: row[named], "fields": fields})
    return found
