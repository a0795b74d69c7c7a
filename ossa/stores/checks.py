"""Checks that every store makes, whatever it is built on, and values as the JSON that is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from pydantic_core import PydanticSerializationError

from ossa.contracts.errors import Conflict, InvalidRequest
from ossa.contracts.memory_tiers import Draft, MemoryRow
from ossa.contracts.value import Value
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
    for id in ids:
        try:
            UUID(id)
        except ValueError:
            raise InvalidRequest(f"A point's id is a UUID, not {id[:64]!r}.", "id") from None


def check_asked(where: Where, below: Below | None) -> None:
    """Raises `InvalidRequest` where everything would be removed."""
    if not where and below is None:
        raise InvalidRequest("To remove all points, remove the index.", "where")


def check_replaced(draft: Draft, old: MemoryRow | None) -> None:
    """Raises `Conflict` where the draft may not take the place of what there is."""
    if draft.if_version is not None and draft.if_version != (old.version if old is not None else 0):
        raise Conflict(
            f"{draft.id} is at version {old.version if old is not None else 0}, not {draft.if_version}.",
            param="if_version",
            details={"version": old.version if old is not None else 0},
        )
    if old is None:
        return
    for field, mine, there in (("kind", draft.kind, old.kind), ("subject", draft.subject, old.subject)):
        if mine != there:
            raise Conflict(f"{draft.id} has another {field}; forget it first, or take another id.", param=field)


def as_json(value: Value) -> bytes:
    """`value.json_bytes()`. Raises `InvalidRequest` for what JSON cannot hold."""
    try:
        return value.json_bytes()
    except PydanticSerializationError as error:
        raise InvalidRequest(f"A {type(value).__name__} holds a value that is not JSON.") from error
