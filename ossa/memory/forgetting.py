"""Forgetting: the catalogue first, so that nobody reads it any more; then every place, which is looked at again."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.memory import ForgetProof, Scope, TierProof
from ossa.contracts.memory_tiers import ColdTier, Erasure, HotTier, MemoryCatalogue, WarmTier

log = logging.getLogger(__name__)

GRACE_S = 900.0
"""How long after it was confirmed an erasure is carried out once more: longer than any process takes to make a copy."""


class Forgetting:
    def __init__(
        self,
        catalogue: MemoryCatalogue,
        hot: HotTier,
        warm: WarmTier,
        cold: ColdTier,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str] = lambda: f"erasure_{secrets.token_hex(16)}",
    ) -> None:
        self._catalogue = catalogue
        self._hot = hot
        self._warm = warm
        self._cold = cold
        self._now = now
        self._new_id = new_id

    async def forget(self, scope: Scope, *, versions: Mapping[str, int] | None = None) -> ForgetProof | None:
        """None where ids are asked for and none is there. Raises `StoreUnavailable`.

        `versions`: items of other versions stay.
        """
        erasure = await self._catalogue.erase(scope, at=self._now(), id=self._new_id(), versions=versions)
        return await self._carry_out(erasure) if erasure is not None else None

    async def resume(self, *, limit: int) -> int:
        """Carry out again what is not confirmed yet, and once more what was confirmed a while ago. How many ended."""
        ended = 0
        for erasure in await self._catalogue.erasures(limit=limit):
            if erasure.confirmed_at is None:
                await self._carry_out(erasure)
            elif self._now() - erasure.confirmed_at >= timedelta(seconds=GRACE_S):
                proof = await self.prove(erasure)
                if proof.complete:
                    await self._catalogue.close_erasure(erasure.id)
                    ended += 1
        return ended

    async def prove(self, erasure: Erasure) -> ForgetProof:
        """Remove all copies wherever they are, then look again. Places that are away make it incomplete."""
        places = await asyncio.gather(
            _ask("catalogue", self._nothing, lambda: self._catalogue.count(erasure)),
            _ask("hot", lambda: self._let_go(erasure), lambda: self._hot.count(erasure)),
            _ask("warm", lambda: self._warm.erase(erasure), lambda: self._warm.count(erasure)),
            _ask("cold", lambda: self._cold.erase(erasure), lambda: self._cold.count(erasure)),
        )
        gone = places[0].model_copy(update={"removed": len(erasure.ids)})
        return ForgetProof(
            id=erasure.id,
            scope=erasure.scope,
            at=self._now(),
            fence=erasure.fence,
            items=len(erasure.ids),
            places=(gone, *places[1:]),
            complete=all(place.confirmed for place in places),
        )

    async def _carry_out(self, erasure: Erasure) -> ForgetProof:
        proof = await self.prove(erasure)
        if proof.complete:
            await self._catalogue.confirm(proof)
        waiting = [place.tier for place in proof.places if not place.confirmed]
        log.info("memory_forgotten", extra={"erasure": erasure.id, "items": proof.items, "waiting": waiting})
        return proof

    async def _let_go(self, erasure: Erasure) -> None:
        await self._hot.drop(erasure.scope.tenant, erasure.ids)

    async def _nothing(self) -> None:
        """The items left the catalogue with the erasure itself."""


def none_of(scope: Scope) -> NotFound:
    return NotFound(f"There is no memory {', '.join(scope.ids or ())[:200]}.")


async def _ask(
    tier: Literal["catalogue", "hot", "warm", "cold"],
    remove: Callable[[], Awaitable[int | None]],
    look: Callable[[], Awaitable[int]],
) -> TierProof:
    try:
        removed = await remove()
        left = await look()
    except StoreUnavailable as error:
        return TierProof(tier=tier, reason=error.message)
    return TierProof(tier=tier, removed=removed, left=left, reason="" if not left else "copies were made meanwhile")
