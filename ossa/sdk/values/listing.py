"""A list that a notebook shows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import ClassVar, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


class Listing(tuple[T, ...]):
    """A tuple of values; `columns` says which of their fields are shown."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ()

    def rows(self) -> list[list[str]]:
        """The shown fields as text, a row a value."""
        return [[_text(getattr(item, column)) for column in self.columns] for item in self]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(item) for item in value)
    return str(value)
