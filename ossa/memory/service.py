"""The memory of one process: remember, recall, find, forget, grant; and the sweeping beside them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ossa.caching.guarded import CacheCounts
from ossa.contracts.errors import InvalidRequest, NotFound, OssaError
from ossa.contracts.memory import (
    EVERY_KIND,
    ForgetProof,
    Grant,
    MemoryItem,
    NewMemory,
    PlacementPolicy,
    Recall,
    Recalled,
    Scope,
)
from ossa.contracts.memory_tiers import ColdTier, Copy, Draft, HotTier, MemoryCatalogue, WarmTier
from ossa.memory.copies import Copies, Embed
from ossa.memory.forgetting import Forgetting, none_of
from ossa.memory.placement import Uses
from ossa.memory.reading import Reading, digest_of
from ossa.memory.sweeper import Sweeper, Swept

log = logging.getLogger(__name__)

PLACE_S = 2.0
"""How long `remember` waits for the index; afterwards the sweeper sees to it."""

BETWEEN_BATCHES_S = 0.1
"""While there is more to do than one sweep does."""


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryService:
    """`ossa.contracts.memory.Memory`. Several may share the stores; `start` begins the sweeping, `stop` ends it.

    Args:
        embed: texts to vectors; of the dimensions that the warm tier's index has.
        policy: placement and retention by kind.
        now: with a time zone.
        sweep_s: between two sweeps.
        cache_counts: of the hot tier's cache, for whoever shows them.
    """

    def __init__(
        self,
        catalogue: MemoryCatalogue,
        hot: HotTier,
        warm: WarmTier,
        cold: ColdTier,
        *,  # parameters: the catalogue and three tiers, and what tests replace one by one
        embed: Embed,
        policy: PlacementPolicy | None = None,
        now: Callable[[], datetime] = _now,
        sweep_s: float = 30.0,
        cache_counts: CacheCounts | None = None,
    ) -> None:
        self._policy = policy or PlacementPolicy()
        self._catalogue = catalogue
        self._hot = hot
        self._now = now
        self._sweep_s = sweep_s
        uses = Uses()
        self._copies = Copies(catalogue, hot, warm, cold, embed=embed)
        self._reading = Reading(catalogue, hot, warm, cold, embed=embed, policy=self._policy, uses=uses, now=now)
        self._forgetting = Forgetting(catalogue, hot, warm, cold, now=now)
        self._sweeper = Sweeper(catalogue, self._copies, self._forgetting, policy=self._policy, uses=uses, now=now)
        self.cache_counts = cache_counts
        self._sweeping: asyncio.Task[None] | None = None
        self.swept = Swept()
        """All sweeps together."""

    async def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="memory-sweep")

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def remember(self, new: NewMemory, *, tenant: str) -> MemoryItem:
        now = self._now()
        draft = Draft(
            tenant=tenant,
            id=new.id if new.id is not None else new_memory_id(),
            kind=new.kind,
            subject=new.subject,
            facts=new.facts,
            content=new.content,
            digest=digest_of(new.content),
            tier=self._policy.rules(new.kind).first,
            expires_at=now + timedelta(seconds=new.lasts_s) if new.lasts_s is not None else None,
            if_version=new.if_version,
            write_id=secrets.token_hex(16),
            at=now,
        )
        row = await self._catalogue.write(draft)
        await self._hot.put(tenant, row.id, Copy(version=row.version, content=new.content), shared=row.tier == "hot")
        try:
            async with asyncio.timeout(PLACE_S):
                await self._copies.begin(row)
        except (OssaError, TimeoutError) as error:
            log.warning("memory_not_indexed_yet", extra={"reason": str(error)[:200] or "it took too long"})
        return self._reading.item(row, new.content)

    async def recall(self, id: str, *, tenant: str, of: str | None = None) -> MemoryItem:
        return await self._reading.recall(id, tenant=tenant, of=of)

    async def find(self, query: Recall, *, tenant: str) -> list[Recalled]:
        return await self._reading.find(query, tenant=tenant)

    async def forget(self, scope: Scope) -> ForgetProof:
        proof = await self._forgetting.forget(scope)
        if proof is None:
            raise none_of(scope)
        return proof

    async def grant(self, tenant: str, *, to: str, kinds: tuple[str, ...] = (EVERY_KIND,)) -> Grant:
        if to == tenant:
            raise InvalidRequest("A tenant reads its own memory without a grant.", param="tenant")
        made = Grant(tenant=tenant, to=to, kinds=kinds, granted_at=self._now())
        await self._catalogue.grant(made)
        return made

    async def revoke(self, tenant: str, *, to: str) -> None:
        if not await self._catalogue.revoke(tenant, to=to):
            raise NotFound(f"There is no grant to {to}.")

    async def grants(self, tenant: str) -> list[Grant]:
        return await self._catalogue.grants(tenant)

    async def sweep(self) -> Swept:
        """Once, now."""
        swept = await self._sweeper.sweep()
        self.swept.add(swept)
        return swept

    async def _sweep_for_ever(self) -> None:
        while True:
            swept = Swept()
            try:
                swept = await self.sweep()
            except Exception:
                log.exception("sweeping_memory_failed")
            await asyncio.sleep(BETWEEN_BATCHES_S if swept.full else self._sweep_s)


def new_memory_id() -> str:
    """`mem_` and 32 hex digits, which sort by time."""
    return f"mem_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
