"""`{CONTEXT:memory:SCOPE:KEY}` and `{DATA:memory:SCOPE:KEY}`: what was remembered, always as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.vortex.exchange.call import ResolveCall


class MemoryReader(Protocol):
    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        """What the tenant keeps under it; None when nothing. Raises `StoreUnavailable`."""


class FakeMemory:
    """A memory in the process, for tests and trials."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], str] = {}
        self._up = True

    def keep(self, key: str, text: str, *, scope: str, tenant: str) -> None:
        self._kept[tenant, scope, key] = text

    def go_down(self) -> None:
        """From now on `recall` raises `StoreUnavailable`."""
        self._up = False

    def come_back(self) -> None:
        self._up = True

    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        if not self._up:
            raise StoreUnavailable("The memory was told to be down.", retry_after_s=1.0)
        return self._kept.get((tenant, scope, key))


@dataclass(frozen=True, slots=True)
class MemoryResolver:
    memory: MemoryReader

    async def __call__(self, call: ResolveCall) -> str:
        """Raises `NotFound`, `StoreUnavailable`."""
        wanted = call.placeholder
        text = await self.memory.recall(wanted.id, scope=wanted.scope, tenant=call.tenant)
        if text is None:
            raise NotFound(f"nothing is remembered under {wanted.id} in {wanted.scope}")
        return text
