"""Work that nobody waits for: counts recalls, moves and expires items, finishes what was begun.

Every step may be done by several processes at once, and by another one again after a death.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from ossa.contracts.errors import OssaError
from ossa.contracts.memory import KindRules, MemoryTier, PlacementPolicy, Scope
from ossa.contracts.memory_tiers import MemoryCatalogue, MemoryRow
from ossa.memory.copies import Copies
from ossa.memory.forgetting import Forgetting
from ossa.memory.placement import Uses, is_over, next_tier

log = logging.getLogger(__name__)

BATCH = 200
"""Items of a step of one sweep."""


@dataclass
class Swept:
    """`failures`: steps that a store which is away cut short."""

    promoted: int = 0
    demoted: int = 0
    tidied: int = 0
    expired: int = 0
    erasures_ended: int = 0
    failures: int = 0

    @property
    def full(self) -> bool:
        """There may be more of the same to do at once."""
        return not self.failures and max(self.demoted, self.tidied, self.expired) >= BATCH

    def add(self, other: Swept) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Sweeper:
    def __init__(
        self,
        catalogue: MemoryCatalogue,
        copies: Copies,
        forgetting: Forgetting,
        *,
        policy: PlacementPolicy,
        uses: Uses,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._copies = copies
        self._forgetting = forgetting
        self._policy = policy
        self._uses = uses
        self._now = now

    async def sweep(self) -> Swept:
        """Once. Raises nothing for stores that are away."""
        swept = Swept()
        steps: tuple[Callable[[Swept], Awaitable[None]], ...] = (
            self._count_uses,
            self._expire,
            self._resume,
            self._tidy,
            self._demote,
        )
        for step in steps:
            try:
                await step(swept)
            except OssaError as error:
                swept.failures += 1
                log.warning("memory_sweep_cut_short", extra={"step": step.__name__, "reason": str(error)[:200]})
        return swept

    async def _count_uses(self, swept: Swept) -> None:
        uses = self._uses.take()
        await self._catalogue.used(uses)
        recalled: defaultdict[str, list[str]] = defaultdict(list)
        for use in uses:
            recalled[use.tenant].append(use.id)
        for tenant, ids in recalled.items():
            for first in range(0, len(ids), BATCH):
                for row in await self._catalogue.rows(tenant, ids[first : first + BATCH]):
                    swept.promoted += await self._placed(row)

    async def _demote(self, swept: Swept) -> None:
        now = self._now()
        for kinds, rules in self._policy.groups():
            limits: tuple[tuple[MemoryTier, float], ...] = (("hot", rules.hot_idle_s), ("warm", rules.warm_idle_s))
            for tier, idle_s in limits:
                before = now - timedelta(seconds=idle_s)
                for row in await self._catalogue.idle(tier, kinds, before=before, limit=BATCH):
                    swept.demoted += await self._placed(row)

    async def _tidy(self, swept: Swept) -> None:
        for row in await self._catalogue.untidy(limit=BATCH):
            swept.tidied += await self._copies.tidy(row)

    async def _expire(self, swept: Swept) -> None:
        now = self._now()
        for kinds, rules in self._policy.groups():
            before = now - timedelta(seconds=rules.keep_s) if rules.keep_s is not None else None
            over = await self._catalogue.expired(kinds, now=now, changed_before=before, limit=BATCH)
            versions: defaultdict[str, dict[str, int]] = defaultdict(dict)
            for row in over:
                if is_over(row, rules, now):
                    versions[row.tenant][row.id] = row.version
            for tenant, named in versions.items():
                proof = await self._forgetting.forget(Scope(tenant=tenant, ids=tuple(named)), versions=named)
                swept.expired += proof.items if proof is not None else 0

    async def _resume(self, swept: Swept) -> None:
        swept.erasures_ended += await self._forgetting.resume(limit=BATCH)

    async def _placed(self, row: MemoryRow) -> bool:
        """Whether it was moved."""
        to = next_tier(row, self._rules(row), self._now())
        return to != row.tier and await self._copies.move(row, to)

    def _rules(self, row: MemoryRow) -> KindRules:
        return self._policy.rules(row.kind)
