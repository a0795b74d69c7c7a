"""Which placeholders a resolution is about, and in which order. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ossa.vortex.exchange.errors import PlaceholderLimit
from ossa.vortex.exchange.graph import longest_chain, topological_order
from ossa.vortex.exchange.limits import ExchangeLimits
from ossa.vortex.exchange.placeholder import CURRENT, Placeholder
from ossa.vortex.exchange.registry import ResolverRegistry
from ossa.vortex.exchange.template import Part, Template


class Plan:
    """Grows while values come in: what a resolver wants handed in is known at once, what is nested in
    its value only then. A cycle over both is found as soon as it is there.

    Args:
        bindings: by namespace, the scope that `current` stands for.
    """

    def __init__(self, registry: ResolverRegistry, limits: ExchangeLimits, bindings: Mapping[str, str]) -> None:
        self._registry = registry
        self._limits = limits
        self._bindings = bindings
        self._inputs: dict[Placeholder, tuple[Placeholder, ...]] = {}
        self._nested: dict[Placeholder, tuple[Placeholder, ...]] = {}
        self.order: Sequence[Placeholder] = ()
        """All placeholders, each after those it depends on."""

    def bound(self, template: Template) -> Template:
        """The template with `current` replaced by what it stands for, where that is known."""
        return Template(tuple(self._bound_part(part) for part in template.parts))

    def add(self, placeholders: Iterable[Placeholder]) -> None:
        """Take up placeholders of a template, with all they need. Raises `PlaceholderCycle`, `PlaceholderLimit`."""
        self._admit(placeholders)
        self._sort()

    def nest(self, outer: Placeholder, inner: Iterable[Placeholder]) -> None:
        """The value of `outer` holds `inner`. Raises `PlaceholderCycle`, `PlaceholderLimit`."""
        self._nested[outer] = tuple(inner)
        if self._nested[outer]:
            self.add(self._nested[outer])

    def inputs_of(self, placeholder: Placeholder) -> tuple[Placeholder, ...]:
        """What its resolver wants handed in."""
        return self._inputs[placeholder]

    def needs_of(self, placeholder: Placeholder) -> tuple[Placeholder, ...]:
        """All it depends on directly."""
        return (*self._inputs[placeholder], *self._nested.get(placeholder, ()))

    def _admit(self, placeholders: Iterable[Placeholder]) -> None:
        todo = list(placeholders)[::-1]
        while todo:
            placeholder = todo.pop()
            if placeholder in self._inputs:
                continue
            if len(self._inputs) >= self._limits.placeholders:
                raise _limit("placeholders", self._limits.placeholders, "different placeholders")
            registration = self._registry.find(placeholder)
            needed = () if registration is None else tuple(dict.fromkeys(registration.needs(placeholder)))
            self._inputs[placeholder] = tuple(self._bound_placeholder(other) for other in needed)
            todo.extend(reversed(self._inputs[placeholder]))

    def _sort(self) -> None:
        needs = {placeholder: self.needs_of(placeholder) for placeholder in self._inputs}
        self.order = topological_order(needs)
        if longest_chain(needs, self.order) > self._limits.depth:
            raise _limit("depth", self._limits.depth, "placeholders in a chain")

    def _bound_part(self, part: Part) -> Part:
        return self._bound_placeholder(part) if isinstance(part, Placeholder) else part

    def _bound_placeholder(self, placeholder: Placeholder) -> Placeholder:
        scope = self._bindings.get(placeholder.namespace)
        return placeholder.at(scope) if placeholder.scope == CURRENT and scope is not None else placeholder


def _limit(name: str, allowed: int, what: str) -> PlaceholderLimit:
    return PlaceholderLimit(
        f"The template leads to more than {allowed} {what}.", details={"limit": name, "allowed": allowed}
    )
