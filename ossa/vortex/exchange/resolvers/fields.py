"""Which values a kind of thing has, by type of placeholder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ossa.contracts.errors import NotFound
from ossa.vortex.exchange.placeholder import Placeholder, PlaceholderType

T = TypeVar("T")

Fields = Mapping[PlaceholderType, Mapping[str, Callable[[T], str]]]
"""Each value under one type, so that nobody keeps it longer than it is true."""


def read(fields: Fields[T], placeholder: Placeholder, thing: T) -> str:
    """Raises `NotFound` saying which values there are."""
    of_type = fields[placeholder.type]
    reader = of_type.get(placeholder.id)
    if reader is None:
        raise NotFound(f"there is no value of this name; there is {', '.join(sorted(of_type))}")
    return reader(thing)
