"""One placeholder's value: from the front, from the store, or from its resolver."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ossa.caching.flight import Flights
from ossa.contracts.errors import FleetBusy, OssaError
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.call import ResolveCall, Resolver
from ossa.vortex.exchange.errors import ResolutionFailed, ResolverTimedOut, ValueRefused
from ossa.vortex.exchange.failure import StaleOk
from ossa.vortex.exchange.held import Held
from ossa.vortex.exchange.limits import ExchangeLimits
from ossa.vortex.exchange.placeholder import CURRENT, Placeholder
from ossa.vortex.exchange.registry import Registration, ResolverRegistry
from ossa.vortex.exchange.template import Template

logger = logging.getLogger(__name__)


class Origin(StrEnum):
    """Where a value is from."""

    FRONT = "front"
    STORE = "store"
    RESOLVER = "resolver"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the resolver gave; placeholders in it are not resolved yet."""

    template: Template
    origin: Origin


class Fetcher:
    """Gets values, at most one resolver call at a time for each tenant, placeholder and input."""

    def __init__(self, registry: ResolverRegistry, cache: TieredCache, limits: ExchangeLimits) -> None:
        self._registry = registry
        self._cache = cache
        self._limits = limits
        self._counts = cache.counts
        self.flights: Flights[Fetched] = Flights(limits.open_flights)

    async def fetch(self, call: ResolveCall, *, keep: bool = True) -> Fetched:
        """The value, at most its type's lifetime old. `keep=False`: its inputs are makeshift, so nobody else gets it.

        Raises `ResolutionFailed`.
        """
        _check_bound(call.placeholder)
        registration = self._registry.get(call.placeholder)
        lifetime_s, inputs = call.placeholder.type.lifetime_s, _digest(call.values)
        if lifetime_s == 0 or not keep:
            # A flight of its own: a value that is never cached is not somebody else's, begun earlier, either.
            return await self._join(call, object(), lambda: self._resolve(call, registration))
        near = self._cache.near(str(call.placeholder), tenant=call.tenant, now=call.now.timestamp())
        if near is not None and near.inputs == inputs and near.within(lifetime_s, call.now.timestamp()):
            self._counts.front_hits += 1
            self._cache.used()
            return Fetched(near.template, Origin.FRONT)
        key = (call.tenant, call.placeholder, inputs)
        return await self._join(call, key, lambda: self._look_up(call, registration, inputs))

    async def fallback(self, call: ResolveCall, resolver: Resolver) -> Template:
        """What the fallback gives: text alone, never kept. Raises `ResolutionFailed`."""
        _check_bound(call.placeholder)
        fallback = Registration(call.placeholder.namespace, (call.placeholder.type,), resolver)
        return (await self._join(call, object(), lambda: self._resolve(call, fallback))).template

    async def stale(self, call: ResolveCall, mode: StaleOk) -> Template | None:
        """The last known value, whatever it was made from; None without one that is young enough."""
        registration = self._registry.find(call.placeholder)
        lifetime_s = call.placeholder.type.lifetime_s
        if registration is None or lifetime_s == 0:
            return None
        now = call.now.timestamp()
        key, keep_s = str(call.placeholder), _keep_s(call.placeholder, registration)
        held = await self._cache.get(key, tenant=call.tenant, now=now, keep_s=keep_s, nests=registration.nests)
        return held.template if held is not None and held.within(lifetime_s + mode.max_stale_s, now) else None

    async def forget(self, placeholder: Placeholder, *, tenant: str) -> None:
        await self._cache.drop(str(placeholder), tenant=tenant)

    async def _join(
        self, call: ResolveCall, key: Hashable, start: Callable[[], Coroutine[Any, Any, Fetched]]
    ) -> Fetched:
        self._counts.shared_flights += key in self.flights
        try:
            return await self.flights.join(key, start)
        except FleetBusy as error:
            raise _failed(call.placeholder, error.message) from error

    async def _look_up(self, call: ResolveCall, registration: Registration, inputs: str) -> Fetched:
        """The work of one flight: the store, then the resolver. The front has it before the flight lands."""
        placeholder, now = call.placeholder, call.now.timestamp()
        key, keep_s = str(placeholder), _keep_s(placeholder, registration)
        held = await self._cache.get(key, tenant=call.tenant, now=now, keep_s=keep_s, nests=registration.nests)
        if held is not None and held.inputs == inputs and held.within(placeholder.type.lifetime_s, now):
            self._counts.back_hits += 1
            return Fetched(held.template, Origin.STORE)
        fetched = await self._resolve(call, registration)
        # Its age counts from before the resolver looked.
        await self._cache.put(key, Held(fetched.template, now, inputs), tenant=call.tenant, keep_s=keep_s)
        return fetched

    async def _resolve(self, call: ResolveCall, registration: Registration) -> Fetched:
        limit_s = self._limits.resolver_s if registration.timeout_s is None else registration.timeout_s
        self._counts.resolver_calls += 1
        try:
            async with asyncio.timeout(limit_s):
                value = await registration.resolver(call)
            return Fetched(self._checked(value, call.placeholder, nests=registration.nests), Origin.RESOLVER)
        except Exception as error:  # a resolver is anybody's code: translated, logged and counted
            failed = _translated(call.placeholder, error, limit_s)
            self._counts.resolver_failures += 1
            fields = {"placeholder": str(call.placeholder), "code": failed.code}
            logger.warning("exchange_resolver_failed", extra=fields)
            if failed is error:
                raise
            raise failed from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._counts.resolver_failures += 1
            raise _failed(call.placeholder, "its resolver cancelled itself") from error

    def _checked(self, value: object, placeholder: Placeholder, *, nests: bool) -> Template:
        template = Template((value,) if value else ()) if isinstance(value, str) else value
        if not isinstance(template, Template):
            raise _refused(placeholder, f"a {type(value).__name__} is neither text nor a template")
        if template.slots:
            raise _refused(placeholder, f"its inputs {list(template.slots)} were not filled")
        if template.placeholders and not nests:
            raise _refused(placeholder, "its resolver is not registered as one whose values may hold placeholders")
        texts = [part for part in template.parts if isinstance(part, str)]
        if (chars := sum(map(len, texts))) > self._limits.value_chars:
            raise _refused(placeholder, f"it has {chars} characters; {self._limits.value_chars} are allowed")
        if not all(map(_is_unicode, texts)):
            raise _refused(placeholder, "it is not valid Unicode text")
        return template


def _keep_s(placeholder: Placeholder, registration: Registration) -> float:
    mode = registration.on_failure
    return placeholder.type.lifetime_s + (mode.max_stale_s if isinstance(mode, StaleOk) else 0.0)


def _digest(values: Mapping[Placeholder, str]) -> str:
    """Of what a value is made from; empty when it needs nothing."""
    if not values:
        return ""
    digest = hashlib.sha256()
    for placeholder in sorted(values):
        for text in (str(placeholder), values[placeholder]):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _check_bound(placeholder: Placeholder) -> None:
    if placeholder.scope == CURRENT:
        raise _failed(placeholder, f"nobody said which {placeholder.namespace} is the current one")


def _translated(placeholder: Placeholder, error: Exception, limit_s: float) -> ResolutionFailed:
    """Other errors' texts may hold anything, so their kind alone is told."""
    if isinstance(error, ResolutionFailed):
        return error
    if isinstance(error, TimeoutError):
        return ResolverTimedOut(
            f"{placeholder}: its resolver gave nothing in {limit_s:g} s.", details={"placeholder": str(placeholder)}
        )
    reason = error.message if isinstance(error, OssaError) else f"its resolver raised {type(error).__name__}"
    return _failed(placeholder, reason)


def _failed(placeholder: Placeholder, reason: str) -> ResolutionFailed:
    return ResolutionFailed(f"{placeholder}: {reason}", details={"placeholder": str(placeholder)})


def _refused(placeholder: Placeholder, reason: str) -> ValueRefused:
    return ValueRefused(f"{placeholder}: {reason}", details={"placeholder": str(placeholder)})


def _is_unicode(text: str) -> bool:
    """A lone half of a surrogate pair cannot be sent anywhere."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
