"""The token exchange: templates in, texts out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.counts import Counts
from ossa.vortex.exchange.errors import InvalidTemplate, ResolutionFailed
from ossa.vortex.exchange.failure import Degrade, Failure, FailureMode
from ossa.vortex.exchange.fetch import Fetcher, Origin
from ossa.vortex.exchange.limits import ExchangeLimits
from ossa.vortex.exchange.placeholder import Placeholder
from ossa.vortex.exchange.plan import Plan
from ossa.vortex.exchange.registry import ResolverRegistry
from ossa.vortex.exchange.resolution import Resolution
from ossa.vortex.exchange.template import Template


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A placeholder and where its value is from."""

    placeholder: Placeholder
    origin: Origin


@dataclass(frozen=True, slots=True)
class Resolved:
    """`resolved` and `failures` name each placeholder once, each after those it depends on."""

    text: str
    resolved: tuple[Exchanged, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedTexts:
    """The same for several templates, whose texts are in their order."""

    texts: tuple[str, ...]
    resolved: tuple[Exchanged, ...] = ()
    failures: tuple[Failure, ...] = ()


class TokenExchange:
    """For one event loop.

    Args:
        registry: who resolves what.
        cache: None: this process's front alone.
        clock: aware, in UTC; ages of cached values go by it.
        unknown: what happens to a placeholder that nobody resolves.
    """

    def __init__(
        self,
        registry: ResolverRegistry,
        *,
        cache: TieredCache | None = None,
        limits: ExchangeLimits = ExchangeLimits(),
        clock: Callable[[], datetime] = _now,
        unknown: FailureMode = Degrade(),
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._clock = clock
        self._unknown = unknown
        cache = cache or TieredCache()
        self._counts = cache.counts
        self._fetcher = Fetcher(registry, cache, limits)

    @property
    def counts(self) -> Counts:
        return self._counts

    async def resolve(
        self,
        template: Template,
        *,
        tenant: str,
        bindings: Mapping[str, str] | None = None,
        on_failure: FailureMode | None = None,
    ) -> Resolved:
        """The template's text with every value in it, as of now.

        Args:
            tenant: whose; values are kept and looked for under it alone.
            bindings: by namespace, the scope that `current` stands for, such as `{"task": "task_0a1b"}`.
            on_failure: in place of the resolvers' own modes.

        Raises `InvalidTemplate` (an open slot), `PlaceholderCycle`, `PlaceholderLimit`, and
        `ResolutionFailed` where the mode is `Propagate`.
        """
        whole = await self.resolve_all([template], tenant=tenant, bindings=bindings, on_failure=on_failure)
        return Resolved(whole.texts[0], whole.resolved, whole.failures)

    async def resolve_all(
        self,
        templates: Sequence[Template],
        *,
        tenant: str,
        bindings: Mapping[str, str] | None = None,
        on_failure: FailureMode | None = None,
    ) -> ResolvedTexts:
        """`resolve` for several templates at once: a placeholder in many of them has one value."""
        for template in templates:
            if template.slots:
                raise InvalidTemplate(f"The template's inputs {list(template.slots)} were not filled.")
        plan = Plan(self._registry, self._limits, bindings or {})
        bound = [plan.bound(template) for template in templates]
        plan.add(placeholder for template in bound for placeholder in template.placeholders)
        resolution = Resolution(
            plan,
            self._fetcher,
            self._limits,
            tenant=tenant,
            clock=self._clock,
            mode_of=lambda placeholder: on_failure or self._mode_of(placeholder),
            deadline=asyncio.get_running_loop().time() + self._limits.total_s,
        )
        try:
            await resolution.run()
        except ResolutionFailed:
            self._counts.propagated += 1
            raise
        return self._report(resolution, tuple(resolution.text(template) for template in bound))

    def unknown(self, template: Template) -> tuple[Placeholder, ...]:
        """Placeholders of the template that nobody resolves; for checking a template before it is used."""
        return tuple(found for found in template.placeholders if self._registry.find(found) is None)

    async def forget(self, placeholder: Placeholder, *, tenant: str) -> None:
        """Drop its value here and in the shared cache; other processes' fronts keep it until its lifetime ends."""
        await self._fetcher.forget(placeholder, tenant=tenant)

    def _mode_of(self, placeholder: Placeholder) -> FailureMode:
        registration = self._registry.find(placeholder)
        return self._unknown if registration is None else registration.on_failure

    def _report(self, resolution: Resolution, texts: tuple[str, ...]) -> ResolvedTexts:
        resolved: list[Exchanged] = []
        failures: list[Failure] = []
        for placeholder, got in resolution.settled:
            if got.failure is not None:
                failures.append(got.failure)
                self._counts.count(got.failure.remedy)
            elif got.origin is not None:
                resolved.append(Exchanged(placeholder, got.origin))
        return ResolvedTexts(texts, tuple(resolved), tuple(failures))
