"""What an index of vectors promises. `ossa.stores` keeps the promise; `tests/contract` holds every index to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import Field

from ossa.contracts.value import Value

Matched = str | int | bool
Where = Mapping[str, Matched]
"""Payload fields and what each equals. A field that holds a list matches when one of its items does."""


class VectorSchema(Value):
    """What an index holds.

    `keywords` and `numbers` are payload fields that are searched by equality and by size; other fields may be
    filtered too where the engine allows it, slowly.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    dimensions: int = Field(ge=1, le=65_536)
    keywords: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


class Point(Value):
    """A vector under an id (a UUID as text). `payload` is JSON."""

    id: str
    vector: tuple[float, ...]
    payload: dict[str, Any] = Field(default_factory=dict)


class Found(Value):
    """`score` is the cosine, -1 to 1; 1 for what was fetched by its id."""

    id: str
    score: float
    payload: dict[str, Any]


class Below(Value):
    """A number in the payload, and what it has to be smaller than."""

    field: str
    value: float


class VectorIndex(Protocol):
    """Points found by the cosine of their vectors. A write is seen by the next call, and outlives the process's death.

    Every method but `open` and `close` raises `InvalidRequest` for a vector of another dimension, of length zero or
    with what is no number, and for an id that is no UUID; and `StoreUnavailable` when the engine does not answer.
    """

    async def open(self) -> None:
        """Make or find the index.

        Raises `Conflict` when it exists with vectors of another dimension, `StoreUnavailable` when the engine is away,
        refuses us, or (embedded) belongs to another process.
        """

    async def close(self) -> None:
        """Let go of it; closing twice is no error."""

    async def upsert(self, points: Sequence[Point]) -> None:
        """Insert, or replace as a whole, by id."""

    async def search(
        self, vector: Sequence[float], *, where: Where, limit: int, least_score: float = -1.0
    ) -> list[Found]:
        """The nearest ones of those that match, best first, with `least_score` or more."""

    async def fetch(self, ids: Sequence[str]) -> list[Found]:
        """Those of the ids that are there, in any order."""

    async def oldest(self, where: Where, *, by: str, limit: int) -> list[Found]:
        """Those that match, by a field of `VectorSchema.numbers`, smallest first."""

    async def count(self, where: Where, *, below: Below | None = None) -> int:
        """How many match, exactly."""

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove those that are there."""

    async def delete_where(self, where: Where, *, below: Below | None = None) -> None:
        """Remove all that match. Raises `InvalidRequest` when nothing at all is asked of them."""
