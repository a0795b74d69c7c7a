"""Who resolves what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from ossa.vortex.exchange.call import Resolver
from ossa.vortex.exchange.errors import ResolverUnknown
from ossa.vortex.exchange.failure import Degrade, FailureMode
from ossa.vortex.exchange.placeholder import Placeholder, PlaceholderType

Needs = Callable[[Placeholder], Sequence[Placeholder]]


_DEGRADE = Degrade()


def _nothing(_placeholder: Placeholder) -> Sequence[Placeholder]:
    return ()


@dataclass(frozen=True, slots=True)
class Registration:
    """One resolver.

    Args:
        namespace: the one it answers for.
        types: of placeholders it answers for.
        resolver: see `Resolver`.
        needs: placeholders whose values the resolver wants handed in. Called before any
            resolver; no IO, and nothing raised.
        nests: whether placeholders in a `Template` it returns are resolved too. Only for resolvers whose
            templates are the program's or the operator's own text.
        timeout_s: None: the exchange's `resolver_s`.
        on_failure: what happens when it raises, takes too long or gives something unusable.
    """

    namespace: str
    types: Collection[PlaceholderType]
    resolver: Resolver
    needs: Needs = _nothing
    nests: bool = False
    timeout_s: float | None = None
    on_failure: FailureMode = _DEGRADE


class ResolverRegistry:
    """Registrations by type and namespace. Read by every resolution; filled where the exchange is built."""

    def __init__(self, registrations: Iterable[Registration] = ()) -> None:
        self._by_kind: dict[tuple[PlaceholderType, str], Registration] = {}
        for registration in registrations:
            self.register(registration)

    def register(self, registration: Registration) -> None:
        """Raises `ValueError` when it has no types, or a type of its namespace has a resolver already."""
        kinds = [(kind, registration.namespace) for kind in registration.types]
        taken = [f"{kind}:{namespace}" for kind, namespace in kinds if (kind, namespace) in self._by_kind]
        if taken or not kinds:
            raise ValueError(
                f"{', '.join(taken)} is resolved already." if taken else f"No types for {registration.namespace!r}."
            )
        self._by_kind.update(dict.fromkeys(kinds, registration))

    def find(self, placeholder: Placeholder) -> Registration | None:
        return self._by_kind.get((placeholder.type, placeholder.namespace))

    def get(self, placeholder: Placeholder) -> Registration:
        """Raises `ResolverUnknown` saying what there is."""
        found = self.find(placeholder)
        if found is None:
            known = sorted(f"{kind}:{namespace}" for kind, namespace in self._by_kind)
            raise ResolverUnknown(
                f"Nobody resolves {placeholder}; there is {', '.join(known) or 'no resolver at all'}.",
                details={"placeholder": str(placeholder)},
            )
        return found
