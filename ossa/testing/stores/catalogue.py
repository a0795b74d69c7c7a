"""The memory's catalogue in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count

from ossa.contracts.memory import ForgetProof, Grant, MemoryTier, Recall, Scope
from ossa.contracts.memory_policy import KindSet
from ossa.contracts.memory_tiers import Draft, Erasure, MemoryRow, Use
from ossa.stores.checks import check_replaced
from ossa.testing.stores.gate import Gate, Gated

Key = tuple[str, str]


class InMemoryCatalogue(Gated):
    """`ossa.contracts.memory_tiers.MemoryCatalogue`, a fake for tests and trials: gone with the process."""

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate or Gate()
        self._fences = count(1)
        self._rows: dict[Key, MemoryRow] = {}
        self._write_ids: dict[Key, str] = {}
        self._erasures: dict[str, Erasure] = {}
        self._grants: dict[Key, Grant] = {}

    async def write(self, draft: Draft) -> MemoryRow:
        key = (draft.tenant, draft.id)
        old = self._rows.get(key)
        if old is not None and self._write_ids[key] == draft.write_id:
            return old
        check_replaced(draft, old)
        fence = next(self._fences)
        row = MemoryRow(
            **draft.model_dump(exclude={"write_id", "if_version", "at"}),
            version=fence,
            fence=fence,
            objects=old is not None and (old.objects or old.stored is not None),
            uses=0,
            untidy=True,
            created_at=old.created_at if old is not None else draft.at,
            updated_at=draft.at,
            used_at=draft.at,
        )
        self._rows[key], self._write_ids[key] = row, draft.write_id
        return row

    async def row(self, tenant: str, id: str, *, known: int | None = None) -> MemoryRow | None:
        found = self._rows.get((tenant, id))
        if found is not None and found.version == known:
            return found.model_copy(update={"content": None})
        return found

    async def rows(self, tenant: str, ids: Sequence[str]) -> list[MemoryRow]:
        return [self._rows[tenant, id] for id in dict.fromkeys(ids) if (tenant, id) in self._rows]

    async def newest(self, tenant: str, query: Recall, *, kinds: Sequence[str] | None) -> list[MemoryRow]:
        found = [row for row in self._rows.values() if row.tenant == tenant and row.matches(query, kinds)]
        return sorted(found, key=lambda row: (row.updated_at, row.version), reverse=True)[: query.limit]

    async def claim(self, row: MemoryRow, *, storing: bool = False) -> MemoryRow | None:
        objects = {"objects": True} if storing else {}
        changed = self._change(row, row.fence, fence=next(self._fences), untidy=True, **objects)
        return self._rows[row.tenant, row.id] if changed else None

    async def store_away(self, row: MemoryRow, *, fence: int) -> bool:
        return self._change(row, fence, stored=fence, content=None, tier="cold")

    async def bring_back(self, row: MemoryRow, content: str, *, fence: int) -> bool:
        return self._change(row, fence, stored=None, content=content, tier="warm")

    async def mark(self, row: MemoryRow, tier: MemoryTier, *, fence: int) -> bool:
        found = self._rows.get((row.tenant, row.id))
        return found is not None and found.stored is None and self._change(row, fence, tier=tier)

    async def tidied(self, row: MemoryRow, *, fence: int) -> bool:
        return self._change(row, fence, untidy=False, objects=row.stored is not None)

    async def used(self, uses: Sequence[Use]) -> None:
        for use in uses:
            row = self._rows.get((use.tenant, use.id))
            if row is not None:
                before = row.uses if (use.at - row.used_at).total_seconds() <= use.within_s else 0
                changed = {"uses": before + use.count, "used_at": max(row.used_at, use.at)}
                self._rows[use.tenant, use.id] = row.model_copy(update=changed)

    async def untidy(self, *, limit: int) -> list[MemoryRow]:
        return sorted((row for row in self._rows.values() if row.untidy), key=lambda row: row.fence)[:limit]

    async def idle(self, tier: MemoryTier, kinds: KindSet, *, before: datetime, limit: int) -> list[MemoryRow]:
        found = [row for row in self._of(kinds) if row.tier == tier and row.used_at < before]
        return sorted(found, key=lambda row: row.used_at)[:limit]

    async def expired(
        self, kinds: KindSet, *, now: datetime, changed_before: datetime | None, limit: int
    ) -> list[MemoryRow]:
        return [
            row
            for row in self._of(kinds)
            if (row.expires_at is not None and row.expires_at <= now)
            or (changed_before is not None and row.updated_at <= changed_before)
        ][:limit]

    async def erase(
        self, scope: Scope, *, at: datetime, id: str, versions: Mapping[str, int] | None = None
    ) -> Erasure | None:
        if id in self._erasures:
            return self._erasures[id]
        gone = [
            row
            for row in self._rows.values()
            if within(row, scope) and (versions is None or versions.get(row.id) == row.version)
        ]
        if not gone and scope.ids is not None:
            return None
        for row in gone:
            del self._rows[row.tenant, row.id]
        ids, subjects = tuple(row.id for row in gone), tuple(row.subject for row in gone)
        made = Erasure(id=id, scope=scope, ids=ids, subjects=subjects, fence=next(self._fences), at=at)
        self._erasures[id] = made
        return made

    async def count(self, erasure: Erasure) -> int:
        return sum(row.fence < erasure.fence and _covered(row, erasure) for row in self._rows.values())

    async def erasures(self, *, limit: int) -> list[Erasure]:
        return sorted(self._erasures.values(), key=lambda one: one.fence)[:limit]

    async def confirm(self, proof: ForgetProof) -> None:
        if proof.id in self._erasures:
            found = self._erasures[proof.id]
            self._erasures[proof.id] = found.model_copy(update={"confirmed_at": found.confirmed_at or proof.at})

    async def close_erasure(self, id: str) -> None:
        self._erasures.pop(id, None)

    async def grant(self, grant: Grant) -> None:
        self._grants[grant.tenant, grant.to] = grant

    async def revoke(self, tenant: str, *, to: str) -> bool:
        return self._grants.pop((tenant, to), None) is not None

    async def grant_of(self, tenant: str, *, to: str) -> Grant | None:
        return self._grants.get((tenant, to))

    async def grants(self, tenant: str) -> list[Grant]:
        return sorted((one for one in self._grants.values() if one.tenant == tenant), key=lambda one: one.to)

    def _change(self, row: MemoryRow, held: int, **fields: object) -> bool:
        found = self._rows.get((row.tenant, row.id))
        if found is None or found.fence != held:
            return False
        self._rows[row.tenant, row.id] = found.model_copy(update=fields)
        return True

    def _of(self, kinds: KindSet) -> list[MemoryRow]:
        return [row for row in self._rows.values() if (row.kind in kinds.names) is not kinds.others]


def within(row: MemoryRow, scope: Scope) -> bool:
    if row.tenant != scope.tenant:
        return False
    return row.id in scope.ids if scope.ids is not None else scope.subject in (None, row.subject)


def _covered(row: MemoryRow, erasure: Erasure) -> bool:
    if erasure.scope.ids is None:
        return within(row, erasure.scope)
    return row.tenant == erasure.scope.tenant and row.id in erasure.ids
