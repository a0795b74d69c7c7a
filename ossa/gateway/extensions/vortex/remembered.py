"""What placeholders take from the memory: `{CONTEXT:memory:SCOPE:KEY}` is the item `SCOPE:KEY` of the tenant."""

from __future__ import annotations

from ossa.contracts.errors import NotFound
from ossa.contracts.memory import Memory


class RememberedText:
    """`ossa.vortex.exchange.resolvers.MemoryReader`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        try:
            found = await self._memory.recall(f"{scope}:{key}", tenant=tenant)
        except NotFound:
            return None
        return found.content
