"""The token exchange: templates in, texts out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any

import orjson

from ossa.caching.flight import Flights
from ossa.contracts.errors import FleetBusy, OssaError
from ossa.vortex.exchange.cache import Held, TieredCache
from ossa.vortex.exchange.template import (
    CURRENT,
    Placeholder,
    PlaceholderCycle,
    PlaceholderLimit,
    PlaceholderType,
    Template,
)

UNAVAILABLE = "[unavailable]"
"""Stands in for a value that could not be had, in the text and for whatever depends on it."""

logger = logging.getLogger(__name__)


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
        """Lists what is resolved, as `TYPE:namespace`."""
        return sorted(f"{kind}:{namespace}" for kind, namespace in self._by_kind)


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bounds of one resolution, unless said otherwise.

    Args:
        placeholders: different ones, with all that they need.
        value_chars: of one value.
        text_chars: of one finished text.
        resolver_s: time of one resolver.
        total_s: time after which what is still missing counts as failed.
        concurrency: resolvers one resolution waits for at once.
        open_flights: resolvers at work at once in the whole exchange.
    """

    placeholders: int = 256
    value_chars: int = 65_536
    text_chars: int = 8 * 2**20
    resolver_s: float = 2.0
    total_s: float = 10.0
    concurrency: int = 16
    open_flights: int = 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """A value that could not be had.

    `code` is `resolver_unknown`, `resolver_timed_out`, `value_refused` or `resolution_failed`.
    """

    placeholder: Placeholder
    code: str
    message: str


class _ValueMissing(Exception):
    def __init__(self, reason: str, code: str = "resolution_failed") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Resolved:
    """Texts in the order of their templates; each failure after those it depends on."""

    texts: tuple[str, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def text(self) -> str:
        """The only one."""
        (text,) = self.texts
        return text


class TokenExchange:
    """For one event loop.

    Args:
        registry: who resolves what.
        cache: None: this process's front alone.
        clock: aware, in UTC; ages of cached values go by it.
    """

    def __init__(
        self,
        registry: ResolverRegistry,
        *,
        cache: TieredCache | None = None,
        limits: ExchangeLimits = ExchangeLimits(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._clock = clock
        self._cache = cache or TieredCache()
        self._flights: Flights[str] = Flights(limits.open_flights)

    async def resolve(self, *templates: Template, tenant: str, bindings: Mapping[str, str] | None = None) -> Resolved:
        """The templates' texts with every value in them, as of now. A placeholder in many of them has one value.

        A value that cannot be had is `UNAVAILABLE`, and among the failures.

        Args:
            tenant: whose; values are kept and looked for under it alone.
            bindings: by namespace, the scope that `current` stands for, such as `{"task": "task_0a1b"}`.

        Raises `InvalidTemplate` (a binding that is no scope), `PlaceholderCycle`, `PlaceholderLimit`.
        """
        bindings = bindings or {}
        needs = self._needs([part for template in templates for part in template.placeholders], bindings)
        order = _ordered(needs)
        settled: dict[Placeholder, asyncio.Task[str | Failure]] = {}
        room = asyncio.Semaphore(self._limits.concurrency)
        try:
            async with asyncio.timeout(self._limits.total_s), asyncio.TaskGroup() as group:
                for placeholder in order:
                    inputs = {other: settled[other] for other in needs[placeholder]}
                    settled[placeholder] = group.create_task(self._settle(placeholder, inputs, tenant, room))
        except TimeoutError:
            pass  # what was cancelled by it has failed
        values: dict[Placeholder, str] = {}
        failures: list[Failure] = []
        for placeholder, task in settled.items():
            value = _too_late(placeholder) if task.cancelled() else task.result()
            values[placeholder] = value if isinstance(value, str) else UNAVAILABLE
            if isinstance(value, Failure):
                failures.append(value)
        return Resolved(tuple(self._composed(part, values, bindings) for part in templates), tuple(failures))

    def _needs(
        self, placeholders: Iterable[Placeholder], bindings: Mapping[str, str]
    ) -> dict[Placeholder, tuple[Placeholder, ...]]:
        """Returns the placeholders that each one needs, including those needed by others. Raises `PlaceholderLimit`."""
        needs: dict[Placeholder, tuple[Placeholder, ...]] = {}
        todo = [placeholder.bound(bindings) for placeholder in placeholders]
        while todo:
            placeholder = todo.pop(0)
            if placeholder in needs:
                continue
            if len(needs) >= self._limits.placeholders:
                raise PlaceholderLimit.over("placeholders", self._limits.placeholders, "different placeholders")
            registration = self._registry.find(placeholder)
            required = () if registration is None else registration.needs(placeholder)
            needs[placeholder] = tuple(dict.fromkeys(other.bound(bindings) for other in required))
            todo += needs[placeholder]
        return needs

    def _composed(self, template: Template, values: Mapping[Placeholder, str], bindings: Mapping[str, str]) -> str:
        """Measured before it is built: a value may stand many times in a text. Raises `PlaceholderLimit`."""
        parts = [part if isinstance(part, str) else values[part.bound(bindings)] for part in template.parts]
        if sum(map(len, parts)) > self._limits.text_chars:
            raise PlaceholderLimit.over("text_chars", self._limits.text_chars, "characters")
        return "".join(parts)

    async def _settle(
        self,
        placeholder: Placeholder,
        inputs: Mapping[Placeholder, asyncio.Task[str | Failure]],
        tenant: str,
        room: asyncio.Semaphore,
    ) -> str | Failure:
        settled = {other: await task for other, task in inputs.items()}
        values = {other: value if isinstance(value, str) else UNAVAILABLE for other, value in settled.items()}
        # A value that is made from a stand-in is kept for nobody.
        keep = all(isinstance(value, str) for value in settled.values())
        async with room:
            try:
                return await self._value(ResolveCall(placeholder, tenant, self._clock(), values), keep=keep)
            except _ValueMissing as error:
                return Failure(placeholder, error.code, f"{placeholder}: {error}")

    async def _value(self, call: ResolveCall, *, keep: bool) -> str:
        """From the front, from the store or from the resolver, which is asked once for all who wait for its value.

        Raises `_ValueMissing`.
        """
        placeholder = call.placeholder
        if placeholder.scope == CURRENT:
            raise _ValueMissing(f"nobody said which {placeholder.namespace} is the current one")
        registration = self._registry.find(placeholder)
        if registration is None:
            kinds = ", ".join(self._registry.kinds) or "no resolver at all"
            raise _ValueMissing(f"nobody resolves it; there is {kinds}", "resolver_unknown")
        if not (placeholder.type.lifetime_s and keep):
            # A flight of its own: a value that is never cached is not another's, begun earlier, either.
            return await self._join(object(), lambda: self._resolve(call, registration))
        key = _key(call)
        if held := self._cache.near(key, tenant=call.tenant, now=call.now.timestamp()):
            return held.text
        return await self._join((call.tenant, key), lambda: self._look_up(call, registration, key))

    async def _join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, str]]) -> str:
        try:
            return await self._flights.join(key, start)
        except FleetBusy as error:
            raise _ValueMissing(error.message) from error

    async def _look_up(self, call: ResolveCall, registration: Registration, key: str) -> str:
        """The work of one flight: the store, then the resolver."""
        now, lifetime_s = call.now.timestamp(), call.placeholder.type.lifetime_s
        held = await self._cache.get(key, tenant=call.tenant, now=now, lifetime_s=lifetime_s)
        if held is None:
            # Its age counts from before the resolver looked.
            held = Held(await self._resolve(call, registration), now)
            await self._cache.put(key, held, tenant=call.tenant, lifetime_s=lifetime_s)
        return held.text

    async def _resolve(self, call: ResolveCall, registration: Registration) -> str:
        try:
            async with asyncio.timeout(self._limits.resolver_s):
                return self._checked(await registration.resolver(call))
        except Exception as error:  # a resolver is anybody's code
            missing = self._translated(error)
            logger.warning(
                "exchange_resolver_failed", extra={"placeholder": str(call.placeholder), "code": missing.code}
            )
            raise missing from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _ValueMissing("its resolver cancelled itself") from error

    def _checked(self, value: object) -> str:
        """Raises `_ValueMissing` for what cannot go into a text."""
        if not isinstance(value, str):
            raise _ValueMissing(f"a {type(value).__name__} is no text", "value_refused")
        if len(value) > self._limits.value_chars:
            allowed = self._limits.value_chars
            raise _ValueMissing(f"it has {len(value)} characters; {allowed} are allowed", "value_refused")
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair cannot be sent anywhere
            raise _ValueMissing("it is not valid Unicode text", "value_refused") from None
        return value

    def _translated(self, error: Exception) -> _ValueMissing:
        """Texts of foreign errors may hold anything, so only their kind is told."""
        if isinstance(error, _ValueMissing):
            return error
        if isinstance(error, TimeoutError):
            return _ValueMissing(f"its resolver gave nothing in {self._limits.resolver_s:g} s", "resolver_timed_out")
        return _ValueMissing(
            error.message if isinstance(error, OssaError) else f"its resolver raised {type(error).__name__}"
        )


def _ordered(needs: Mapping[Placeholder, Sequence[Placeholder]]) -> list[Placeholder]:
    """All placeholders, each after those it needs. Raises `PlaceholderCycle`."""
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        cycle = [str(placeholder) for placeholder in reversed(error.args[1])]
        raise PlaceholderCycle(
            f"Placeholders need one another in a circle: {' -> '.join(cycle)}. Take one of them out.",
            details={"cycle": cycle},
        ) from None


def _key(call: ResolveCall) -> str:
    """Names the value in the caches. One that is made from others is used only while those are the same."""
    if not call.values:
        return str(call.placeholder)
    inputs = orjson.dumps(sorted((str(placeholder), text) for placeholder, text in call.values.items()))
    return f"{call.placeholder}:{hashlib.sha256(inputs).hexdigest()}"


def _too_late(placeholder: Placeholder) -> Failure:
    message = f"{placeholder}: there was no value when the time for the whole text was over"
    return Failure(placeholder, "resolver_timed_out", message)
