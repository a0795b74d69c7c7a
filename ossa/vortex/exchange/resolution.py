"""One resolution: from templates to texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ossa.vortex.exchange.call import ResolveCall
from ossa.vortex.exchange.errors import PlaceholderLimit, ResolutionFailed, ResolverTimedOut
from ossa.vortex.exchange.failure import (
    Degrade,
    Failure,
    FailureMode,
    Fallback,
    Propagate,
    Remedy,
    SkipDependants,
    StaleOk,
)
from ossa.vortex.exchange.fetch import Fetcher, Origin
from ossa.vortex.exchange.limits import ExchangeLimits
from ossa.vortex.exchange.placeholder import Placeholder
from ossa.vortex.exchange.plan import Plan
from ossa.vortex.exchange.template import Template


@dataclass(frozen=True, slots=True)
class Got:
    """A placeholder's value before what is nested in it. `template` None: it is left out."""

    template: Template | None
    origin: Origin | None = None
    failure: Failure | None = None


class Resolution:
    """Calls resolvers as soon as what they need is there, many at once.

    Args:
        mode_of: what happens when a placeholder's value cannot be had.
        deadline: on the event loop's clock.
    """

    def __init__(
        self,
        plan: Plan,
        fetcher: Fetcher,
        limits: ExchangeLimits,
        *,
        tenant: str,
        clock: Callable[[], datetime],
        mode_of: Callable[[Placeholder], FailureMode],
        deadline: float,
    ) -> None:
        self._plan = plan
        self._fetcher = fetcher
        self._limits = limits
        self._tenant = tenant
        self._clock = clock
        self._mode_of = mode_of
        self._deadline = deadline
        self._running: dict[asyncio.Task[Got], Placeholder] = {}
        self._got: dict[Placeholder, Got] = {}
        self._texts: dict[Placeholder, str | None] = {}
        self._makeshift: set[Placeholder] = set()
        self._room = limits.text_chars

    async def run(self) -> None:
        """Settle every placeholder of the plan.

        Raises `ResolutionFailed` where the mode is `Propagate`, `PlaceholderCycle`, `PlaceholderLimit`.
        """
        try:
            while True:
                self._advance()
                if not self._running:
                    return
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._take(self._running.pop(task), task.result())
        finally:
            await self._abandon()

    def text(self, template: Template) -> str:
        """The template with all its values in it; what is left out is empty. Raises `PlaceholderLimit`."""
        return self._composed(template, self._limits.text_chars)

    def _composed(self, template: Template, room: int) -> str:
        """Measured before it is built: values nested in values can grow to the power of their depth."""
        parts = [self._texts[part] or "" if isinstance(part, Placeholder) else str(part) for part in template.parts]
        if sum(map(len, parts)) > room:
            raise PlaceholderLimit(
                f"The template leads to more than {self._limits.text_chars} characters.",
                details={"limit": "text_chars", "allowed": self._limits.text_chars},
            )
        return "".join(parts)

    @property
    def settled(self) -> list[tuple[Placeholder, Got]]:
        """Each after those it depends on."""
        return [(placeholder, self._got[placeholder]) for placeholder in self._plan.order if placeholder in self._got]

    def _advance(self) -> None:
        """Finish what can be finished and start what can be started."""
        for placeholder in self._plan.order:
            if placeholder in self._texts:
                continue
            needs = self._plan.needs_of(placeholder)
            if any(self._texts.get(other, "") is None for other in needs):
                self._skip(placeholder)
            elif placeholder in self._got:
                self._finish(placeholder, needs)
            elif placeholder not in self._running.values() and len(self._running) < self._limits.concurrency:
                self._start(placeholder)

    def _skip(self, placeholder: Placeholder) -> None:
        cause = next(other for other in self._plan.needs_of(placeholder) if self._texts.get(other, "") is None)
        error = ResolutionFailed(f"{placeholder}: it depends on {cause}, which was left out")
        self._got[placeholder] = Got(None, failure=Failure.of(placeholder, Remedy.SKIPPED, error))
        self._texts[placeholder] = None

    def _finish(self, placeholder: Placeholder, needs: Sequence[Placeholder]) -> None:
        got = self._got[placeholder]
        if got.template is None:
            self._texts[placeholder] = None
        elif all(other in self._texts for other in needs):
            if got.failure is not None or not self._makeshift.isdisjoint(needs):
                self._makeshift.add(placeholder)
            text = self._composed(got.template, self._room)
            self._room -= len(text)
            self._texts[placeholder] = text

    def _start(self, placeholder: Placeholder) -> None:
        inputs = self._plan.inputs_of(placeholder)
        if all(other in self._texts for other in inputs):
            values = {other: self._texts[other] or "" for other in inputs}
            call = ResolveCall(placeholder, self._tenant, self._clock(), values)
            self._running[asyncio.create_task(self._obtain(call))] = placeholder

    def _take(self, placeholder: Placeholder, got: Got) -> None:
        template = None if got.template is None else self._plan.bound(got.template)
        self._got[placeholder] = Got(template, got.origin, got.failure)
        if template is not None:
            self._plan.nest(placeholder, template.placeholders)

    async def _obtain(self, call: ResolveCall) -> Got:
        try:
            async with asyncio.timeout_at(self._deadline):
                fetched = await self._fetcher.fetch(call, keep=self._makeshift.isdisjoint(call.values))
            return Got(fetched.template, fetched.origin)
        except ResolutionFailed as error:
            return await self._recover(call, error)
        except TimeoutError:
            return await self._recover(call, _too_late(call.placeholder))

    async def _recover(self, call: ResolveCall, error: ResolutionFailed) -> Got:
        """Do what the placeholder's mode says. Raises a `ResolutionFailed` for `Propagate`."""
        mode = self._mode_of(call.placeholder)
        match mode:
            case Propagate():
                raise error
            case SkipDependants():
                return Got(None, failure=Failure.of(call.placeholder, Remedy.SKIPPED, error))
            case Degrade():
                return _stand_in(call, mode.text, error)
            case StaleOk():
                template, remedy = await self._stale(call, mode), Remedy.STALE
            case Fallback():
                template, remedy = await self._fallback(call, mode), Remedy.FALLBACK
        if template is None:
            return _stand_in(call, mode.text, error)
        return Got(template, failure=Failure.of(call.placeholder, remedy, error))

    async def _stale(self, call: ResolveCall, mode: StaleOk) -> Template | None:
        return await self._fetcher.stale(call, mode)

    async def _fallback(self, call: ResolveCall, mode: Fallback) -> Template | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._fetcher.fallback(call, mode.resolver)
        except (ResolutionFailed, TimeoutError):
            return None

    async def _abandon(self) -> None:
        """After an error or a cancellation: nobody waits for the rest any more."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()


def _stand_in(call: ResolveCall, text: str, error: ResolutionFailed) -> Got:
    failure = Failure.of(call.placeholder, Remedy.DEGRADED, error)
    return Got(Template((text,) if text else ()), failure=failure)


def _too_late(placeholder: Placeholder) -> ResolverTimedOut:
    return ResolverTimedOut(
        f"{placeholder}: there was no value when the time for the whole text was over.",
        details={"placeholder": str(placeholder)},
    )
