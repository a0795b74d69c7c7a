"""Who resolves what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ossa.vortex.exchange.template import Placeholder, PlaceholderType


@dataclass(frozen=True, slots=True)
class ResolveCall:
    """One placeholder to resolve for one tenant.

    `values` holds the texts of the placeholders that the resolver needs. `now` is aware, in UTC.
    """

    placeholder: Placeholder
    tenant: str
    now: datetime
    values: Mapping[Placeholder, str] = field(default_factory=dict)


Resolver = Callable[[ResolveCall], Awaitable[str]]
"""Gives the value, or raises. A value is text, whatever it holds."""


def _needs_nothing(_placeholder: Placeholder) -> Sequence[Placeholder]:
    return ()


@dataclass(frozen=True, slots=True)
class Registration:
    """One resolver.

    Args:
        namespace: the one it answers for.
        types: of placeholders it answers for.
        resolver: see `Resolver`.
        needs: placeholders whose values the resolver is called with. It is called before any resolver, does no IO and
            raises nothing.
    """

    namespace: str
    types: Collection[PlaceholderType]
    resolver: Resolver
    needs: Callable[[Placeholder], Sequence[Placeholder]] = _needs_nothing


class ResolverRegistry:
    """Registrations by type and namespace. Raises `ValueError` when two answer for the same."""

    def __init__(self, registrations: Iterable[Registration] = ()) -> None:
        self._by_kind: dict[tuple[PlaceholderType, str], Registration] = {}
        for registration in registrations:
            for kind in registration.types:
                if self._by_kind.setdefault((kind, registration.namespace), registration) is not registration:
                    raise ValueError(f"{kind}:{registration.namespace} is resolved already.")

    def find(self, placeholder: Placeholder) -> Registration | None:
        return self._by_kind.get((placeholder.type, placeholder.namespace))

    @property
    def kinds(self) -> list[str]:
        """What is resolved, as `TYPE:namespace`."""
        return sorted(f"{kind}:{namespace}" for kind, namespace in self._by_kind)
