"""An index of vectors in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ossa.contracts.vectors import Below, Found, Point, VectorSchema, Where
from ossa.stores.checks import check_asked, check_ids, check_points, check_vector
from ossa.testing.stores.gate import Gate, Gated


class MemoryVectors(Gated):
    """`ossa.contracts.vectors.VectorIndex`, a fake for tests and trials: exact, slow, gone with the process."""

    def __init__(self, schema: VectorSchema) -> None:
        self._schema = schema
        self._gate = Gate()
        self._points: dict[str, tuple[tuple[float, ...], str]] = {}

    async def open(self) -> None:
        self._gate.check()

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    async def upsert(self, points: Sequence[Point]) -> None:
        check_points(points, self._schema)
        for point in points:
            self._points[point.id] = (_unit(point.vector), json.dumps(point.payload))

    async def search(
        self, vector: Sequence[float], *, where: Where, limit: int, least_score: float = -1.0
    ) -> list[Found]:
        check_vector(vector, self._schema)
        wanted = _unit(vector)
        found = [
            Found(id=key, score=_product(wanted, self._points[key][0]), payload=payload)
            for key, payload in self._matching(where, None)
        ]
        found = [one for one in found if one.score >= least_score]
        return sorted(found, key=lambda one: -one.score)[:limit]

    async def fetch(self, ids: Sequence[str]) -> list[Found]:
        check_ids(ids)
        return [
            Found(id=key, score=1.0, payload=json.loads(self._points[key][1])) for key in ids if key in self._points
        ]

    async def oldest(self, where: Where, *, by: str, limit: int) -> list[Found]:
        found = [Found(id=key, score=1.0, payload=payload) for key, payload in self._matching(where, None)]
        return sorted((one for one in found if by in one.payload), key=lambda one: float(one.payload[by]))[:limit]

    async def count(self, where: Where, *, below: Below | None = None) -> int:
        return sum(1 for _ in self._matching(where, below))

    async def delete(self, ids: Sequence[str]) -> None:
        check_ids(ids)
        for key in ids:
            self._points.pop(key, None)

    async def delete_where(self, where: Where, *, below: Below | None = None) -> None:
        check_asked(where, below)
        for key in [key for key, _ in self._matching(where, below)]:
            del self._points[key]

    def _matching(self, where: Where, below: Below | None) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, (_, text) in self._points.items():
            payload = json.loads(text)
            if all(_equals(payload.get(field), value) for field, value in where.items()) and _is_below(payload, below):
                yield key, payload


def _equals(found: Any, value: object) -> bool:
    if isinstance(found, list):
        return any(_equals(item, value) for item in found)
    return type(found) is type(value) and found == value


def _is_below(payload: dict[str, Any], below: Below | None) -> bool:
    if below is None:
        return True
    found = payload.get(below.field)
    return isinstance(found, int | float) and found < below.value


def _unit(vector: Sequence[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    return tuple(value / length for value in vector)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(left * right for left, right in zip(one, other, strict=True))
