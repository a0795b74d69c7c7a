"""A resolver's value as a cache holds it.

What is held is what the resolver gave, before anything nested in it was put in: each
placeholder inside has a lifetime of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof

import orjson

from ossa.vortex.exchange.errors import InvalidTemplate
from ossa.vortex.exchange.placeholder import Placeholder
from ossa.vortex.exchange.template import Part, Slot, Template

_VERSION = 1
_SKEW_S = 5.0
"""Another process may have kept it, whose clock is ahead by this much at most."""


@dataclass(frozen=True, slots=True)
class Held:
    """`at` is in seconds since 1970. `inputs` is a digest of what the resolver was handed in."""

    template: Template
    at: float
    inputs: str = ""

    def within(self, limit_s: float, now: float) -> bool:
        """Whether it is at most that old."""
        return -_SKEW_S <= now - self.at < limit_s

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        return 128 + sum(getsizeof(part) if isinstance(part, str) else 512 for part in self.template.parts)


def encode(held: Held) -> bytes:
    """Raises `ValueError` for a template with slots, and `TypeError` for text that is no Unicode."""
    return orjson.dumps(
        {"v": _VERSION, "at": held.at, "in": held.inputs, "parts": [_part_out(part) for part in held.template.parts]}
    )


def decode(data: bytes, *, nests: bool) -> Held | None:
    """None for anything that `encode` did not write, and for placeholders where none are allowed."""
    try:
        found = orjson.loads(data)
        if found["v"] != _VERSION:
            return None
        parts = tuple(_part_in(part, nests) for part in found["parts"])
        return Held(Template(parts), float(found["at"]), str(found["in"]))
    except (ValueError, KeyError, TypeError, InvalidTemplate):
        return None


def _part_out(part: Part) -> str | dict[str, str]:
    if isinstance(part, Slot):
        raise ValueError(f"{part} was not filled.")
    return {"ref": str(part)} if isinstance(part, Placeholder) else part


def _part_in(part: object, nests: bool) -> Part:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and nests:
        return Placeholder.parse(part["ref"])
    raise ValueError("neither text nor an allowed placeholder")
