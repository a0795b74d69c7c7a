"""Makes, moves and removes the copies of one item. Every step may be the last one of this process.

A copy is stamped with the fence it was made under. Whoever removes copies holds a fence, and removes those with lower
ones: so somebody slow never removes what a later one made. An item is untidy from before a copy is made until all that
is left over is gone, so that another process finishes what one began.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from ossa.contracts.memory import MemoryTier
from ossa.contracts.memory_tiers import ColdTier, Copy, HotTier, MemoryCatalogue, MemoryRow, WarmTier

log = logging.getLogger(__name__)

Embed = Callable[[str], Awaitable[Sequence[float]]]
"""A text's vector; all zero where nothing in it has a meaning to the embedder."""


class Copies:
    """Every method raises `StoreUnavailable`; the item is then untidy, and what it says is right all the same."""

    def __init__(
        self, catalogue: MemoryCatalogue, hot: HotTier, warm: WarmTier, cold: ColdTier, *, embed: Embed
    ) -> None:
        self._catalogue = catalogue
        self._hot = hot
        self._warm = warm
        self._cold = cold
        self._embed = embed

    async def begin(self, row: MemoryRow) -> None:
        """The copies of an item that this process just wrote."""
        await self._tidy(row)

    async def tidy(self, row: MemoryRow) -> bool:
        """Finish what somebody left; False when another one is at it."""
        held = await self._catalogue.claim(row)
        if held is None:
            return False
        await self._tidy(held)
        return True

    async def move(self, row: MemoryRow, to: MemoryTier) -> bool:
        """To a neighbouring tier; False when the item has changed meanwhile."""
        if to == "cold":
            return await self._store_away(row)
        if row.tier == "cold":
            return await self._bring_back(row)
        if not await self._catalogue.mark(row, to, fence=row.fence):
            return False
        if to == "hot" and row.content is not None:
            await self._hot.put(row.tenant, row.id, Copy(version=row.version, content=row.content), shared=True)
        elif to == "warm":
            await self._hot.drop(row.tenant, [row.id])
        return True

    async def _store_away(self, row: MemoryRow) -> bool:
        held = await self._catalogue.claim(row, storing=True)
        if held is None or held.content is None:
            return False
        await self._cold.put(held, held.content, fence=held.fence)
        if not await self._catalogue.store_away(held, fence=held.fence):
            await self._cold.drop_one(held, fence=held.fence)
            return False
        await self._tidy(held.model_copy(update={"stored": held.fence, "content": None, "tier": "cold"}))
        return True

    async def _bring_back(self, row: MemoryRow) -> bool:
        content = await self._cold.get(row, fence=row.stored) if row.stored is not None else None
        held = await self._catalogue.claim(row) if content is not None else None
        if content is None or held is None or held.stored != row.stored:
            return False
        if not await self._catalogue.bring_back(held, content, fence=held.fence):
            return False
        await self._tidy(held.model_copy(update={"stored": None, "content": content, "tier": "warm", "objects": True}))
        return True

    async def _tidy(self, row: MemoryRow) -> None:
        """Makes the copies that the tier needs, and removes those that are older than the fence held."""
        fence = row.fence
        indexed = row.content is not None and await self._index(row, row.content)
        await self._warm.drop(row, below=fence)
        if row.objects:
            await self._cold.drop(row, below=fence, keep=row.stored)
        if not await self._catalogue.tidied(row, fence=fence) and indexed:
            await self._warm.drop_one(row, fence=fence)

    async def _index(self, row: MemoryRow, content: str) -> bool:
        vector = await self._embed(content)
        if not any(vector):
            return False
        await self._warm.put(row, vector, fence=row.fence)
        return True
