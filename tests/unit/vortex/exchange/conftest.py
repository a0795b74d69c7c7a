"""An exchange whose clock and resolvers the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.testing.stores.tiers import MemoryCache
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.exchange import ExchangeLimits, Registration, ResolveCall, ResolverRegistry, TokenExchange
from ossa.vortex.exchange.template import PlaceholderType, Template, Trusted
from tests.support.clock import ManualClock


class Source:
    """A resolver: gives what it is told to, records its calls, and fails or waits on request."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.broken: dict[str, Exception] = {}
        self.calls: list[ResolveCall] = []
        self.gate: asyncio.Event | None = None
        self.answer: Callable[[ResolveCall], str] | None = None

    @property
    def asked(self) -> list[str]:
        return [call.placeholder.id for call in self.calls]

    async def __call__(self, call: ResolveCall) -> str:
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        if error := self.broken.get(call.placeholder.id):
            raise error
        if self.answer is not None:
            return self.answer(call)
        return self.values.get(call.placeholder.id, f"<{call.placeholder.id}>")


class Bench:
    """Namespace `src` is answered by `source`."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
        self.source = Source()
        self.store = MemoryCache(self.clock.monotonic)
        self._registration = Registration("src", tuple(PlaceholderType), self.source)

    def register(self, **more: Any) -> Bench:
        more.setdefault("resolver", self.source)
        self._registration = Registration("src", tuple(PlaceholderType), **more)
        return self

    def exchange(self, **limits: Any) -> TokenExchange:
        """Each call is another process: the store is shared, the front is not."""
        registry, cache = ResolverRegistry([self._registration]), TieredCache(self.store)
        return TokenExchange(registry, cache=cache, limits=ExchangeLimits(**limits), clock=self.clock.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def template() -> Callable[[str], Template]:
    return lambda text: Template.parse(Trusted(text))
