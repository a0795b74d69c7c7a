"""What every index of vectors refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.vectors import Below, Point, VectorSchema, Where


def check_vector(vector: Sequence[float], schema: VectorSchema) -> None:
    """Raises `InvalidRequest`."""
    if len(vector) != schema.dimensions:
        raise InvalidRequest(
            f"{schema.name} holds vectors of {schema.dimensions} dimensions, not {len(vector)}.", "vector"
        )
    length = math.fsum(value * value for value in vector)
    if not math.isfinite(length) or length == 0:
        raise InvalidRequest("A vector consists of numbers that are not all zero.", "vector")


def check_points(points: Sequence[Point], schema: VectorSchema) -> None:
    """Raises `InvalidRequest`."""
    check_ids([point.id for point in points])
    for point in points:
        check_vector(point.vector, schema)


def check_ids(ids: Sequence[str]) -> None:
    """Raises `InvalidRequest` for what is no UUID."""
    for found in ids:
        try:
            UUID(found)
        except ValueError:
            raise InvalidRequest(f"A point's id is a UUID, not {found[:64]!r}.", "id") from None


def check_asked(where: Where, below: Below | None) -> None:
    """Raises `InvalidRequest` where everything would be removed."""
    if not where and below is None:
        raise InvalidRequest("To remove all points, remove the index.", "where")
