"""Recalls. What a tier holds counts only when the catalogue, asked afterwards, says that it is the newest version."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from ossa.contracts.errors import InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.memory import EVERY_KIND, Grant, MemoryItem, PlacementPolicy, Recall, Recalled
from ossa.contracts.memory_tiers import ColdTier, Copy, HotTier, MemoryCatalogue, MemoryRow, Near, WarmTier
from ossa.memory.copies import Embed
from ossa.memory.placement import Uses, expiry, is_over

log = logging.getLogger(__name__)

TRIES = 8
"""Times that an item may move between two looks at it."""

MOST_CANDIDATES = 1024
OBJECTS_AT_ONCE = 8


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


class Reading:
    """Recalls and searches of one process. Raises what `ossa.contracts.memory.Memory` says."""

    def __init__(
        self,
        catalogue: MemoryCatalogue,
        hot: HotTier,
        warm: WarmTier,
        cold: ColdTier,
        *,
        embed: Embed,
        policy: PlacementPolicy,
        uses: Uses,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._hot = hot
        self._warm = warm
        self._cold = cold
        self._embed = embed
        self._policy = policy
        self._uses = uses
        self._now = now
        self._objects = asyncio.Semaphore(OBJECTS_AT_ONCE)

    async def recall(self, id: str, *, tenant: str, of: str | None) -> MemoryItem:
        owner = of or tenant
        grant = await self._grant(owner, tenant)
        newest = await self._newest(owner, id, grant)
        if newest is None:
            raise NotFound(f"There is no memory {id}." if owner == tenant else _not_granted(owner))
        row, content = newest
        self._uses.note(row, at=self._now(), within_s=self._policy.rules(row.kind).within_s)
        return self.item(row, content)

    async def find(self, query: Recall, *, tenant: str) -> list[Recalled]:
        owner = query.of or tenant
        grant = await self._grant(owner, tenant)
        kinds = None if grant is None or EVERY_KIND in grant.kinds else grant.kinds
        if query.kind is not None and kinds is not None and query.kind not in kinds:
            return []
        if query.text:
            matching = await self._by_meaning(owner, query, kinds)
        else:
            matching = [(row, None) for row in await self._catalogue.newest(owner, query, kinds=kinds)]
        alive = [(row, score) for row, score in matching if not self._over(row)][: query.limit]
        items = await asyncio.gather(*(self._whole(row, grant) for row, _ in alive))
        for row, _ in alive:
            self._uses.note(row, at=self._now(), within_s=self._policy.rules(row.kind).within_s)
        return [Recalled(item=item, score=score) for item, (_, score) in zip(items, alive, strict=True) if item]

    def item(self, row: MemoryRow, content: str | None) -> MemoryItem:
        return MemoryItem(
            tenant=row.tenant,
            id=row.id,
            kind=row.kind,
            subject=row.subject,
            content=content,
            facts=row.facts,
            version=row.version,
            tier=row.tier,
            created_at=row.created_at,
            updated_at=row.updated_at,
            expires_at=expiry(row, self._policy.rules(row.kind)),
        )

    async def _grant(self, owner: str, reader: str) -> Grant | None:
        """None: it is the reader's own. Raises `NotFound`."""
        if owner == reader:
            return None
        grant = await self._catalogue.grant_of(owner, to=reader)
        if grant is None:
            raise NotFound(_not_granted(owner))
        return grant

    async def _newest(self, owner: str, id: str, grant: Grant | None) -> tuple[MemoryRow, str] | None:
        copy = await self._hot.get(owner, id)
        for _ in range(TRIES):
            row = await self._catalogue.row(owner, id, known=copy.version if copy is not None else None)
            if row is None or self._over(row) or (grant is not None and not grant.allows(row.kind)):
                return None
            if copy is not None and copy.version == row.version and digest_of(copy.content) == row.digest:
                return row, copy.content
            copy = None
            content = row.content if row.stored is None else await self._cold.get(row, fence=row.stored)
            if content is None:
                continue  # it moved between the two looks, or the copy that was known is damaged
            if digest_of(content) != row.digest:
                log.error("memory_damaged", extra={"tier": row.tier, "fence": row.stored or row.fence})
                raise StoreUnavailable(f"The content of {id} is damaged in its {row.tier} tier.")
            await self._hot.put(owner, id, Copy(version=row.version, content=content), shared=row.tier == "hot")
            return row, content
        raise StoreUnavailable(f"The content of {id} is not where the catalogue has it.", retry_after_s=1.0)

    async def _whole(self, row: MemoryRow, grant: Grant | None) -> MemoryItem | None:
        """With its content; of one that has changed since, what it is now."""
        if row.content is not None:
            return self.item(row, row.content)
        try:
            async with self._objects:
                newest = await self._newest(row.tenant, row.id, grant)
        except StoreUnavailable as error:
            log.warning("memory_content_away", extra={"tier": row.tier, "reason": str(error)[:200]})
            return self.item(row, None)
        return self.item(*newest) if newest is not None else None

    async def _by_meaning(
        self, owner: str, query: Recall, kinds: Sequence[str] | None
    ) -> list[tuple[MemoryRow, float | None]]:
        vector = await self._embed(query.text)
        if not any(vector):
            raise InvalidRequest("The text has no word that says what is meant.", param="text")
        asked = (query.kind,) if query.kind is not None or kinds is None else kinds
        take = 2 * query.limit
        while True:
            near = await self._near(owner, vector, query, asked, take)
            matching = await self._matching(owner, query, kinds, near)
            if len(matching) >= query.limit or len(near) < take or take >= MOST_CANDIDATES:
                return matching
            take = min(MOST_CANDIDATES, take * 4)

    async def _near(
        self, owner: str, vector: Sequence[float], query: Recall, kinds: Sequence[str | None], take: int
    ) -> list[Near]:
        try:
            asked = (self._warm.search(owner, vector, query, kind=kind, limit=take) for kind in kinds)
            candidates = [candidate for some in await asyncio.gather(*asked) for candidate in some]
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"The memory cannot be searched by meaning now, only by id and time: {error.message}",
                retry_after_s=error.retry_after_s,
            ) from error
        return sorted(candidates, key=lambda candidate: -candidate.score)

    async def _matching(
        self, owner: str, query: Recall, kinds: Sequence[str] | None, near: Sequence[Near]
    ) -> list[tuple[MemoryRow, float | None]]:
        rows = {row.id: row for row in await self._catalogue.rows(owner, [candidate.id for candidate in near])}
        matching: dict[str, tuple[MemoryRow, float | None]] = {}
        for candidate in near:
            row = rows.get(candidate.id)
            if row is not None and row.version == candidate.version and row.matches(query, kinds):
                matching.setdefault(candidate.id, (row, candidate.score))
        return list(matching.values())

    def _over(self, row: MemoryRow) -> bool:
        return is_over(row, self._policy.rules(row.kind), self._now())


def _not_granted(owner: str) -> str:
    return f"There is no such memory of {owner} that you may read."
