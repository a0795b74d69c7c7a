"""What a resolver is told, and what a resolver is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ossa.vortex.exchange.placeholder import Placeholder
from ossa.vortex.exchange.template import Template


@dataclass(frozen=True, slots=True)
class ResolveCall:
    """One placeholder to resolve for one tenant.

    `values` holds the whole texts of the placeholders the resolver said it needs.
    `now` is aware, in UTC.
    """

    placeholder: Placeholder
    tenant: str
    now: datetime
    values: Mapping[Placeholder, str] = field(default_factory=dict)


Resolver = Callable[[ResolveCall], Awaitable[str | Template]]
"""Gives the value, or raises. A `str` is text, whatever it holds; a `Template` may hold further
placeholders if the resolver is registered with `nests=True`."""
