"""The memory's catalogue over PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.memory import ForgetProof, Grant, KindSet, MemoryTier, Recall, Scope
from ossa.contracts.memory_tiers import Draft, Erasure, MemoryRow, Use
from ossa.stores import store_facts
from ossa.stores.checks import check_replaced
from ossa.stores.postgres.connection import Params, Reader, Row, Session
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.rows import readable
from ossa.stores.postgres.telling import tell, told

TRIES = 5
"""Times that two writers may make the same item at once."""

_NOT_OF_A_ROW = ("write_id", "told")


class PostgresCatalogue:
    """`ossa.contracts.memory_tiers.MemoryCatalogue`. Each write may be done twice, as a lost connection has it.

    A claim whose answer was lost is told as not made; the item stays untidy, and somebody claims it later.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sql = load_queries("memory.sql")

    async def write(self, draft: Draft) -> MemoryRow:
        params = {**dict(draft), "facts": orjson.dumps(draft.facts).decode(), **told(store_facts.of_memory(draft))}
        for _ in range(TRIES):
            row = await self._reader.row(self._sql["write"], params, tenant=draft.tenant)
            if row is not None:
                return _item(row)
            check_replaced(draft, await self.row(draft.tenant, draft.id))
        raise StoreUnavailable(f"{draft.id} is being written by others.", retry_after_s=1.0)

    async def row(self, tenant: str, id: str, *, known: int | None = None) -> MemoryRow | None:
        row = await self._reader.row(self._sql["row"], {"tenant": tenant, "id": id, "known": known}, tenant=tenant)
        return _item(row) if row is not None else None

    async def rows(self, tenant: str, ids: Sequence[str]) -> list[MemoryRow]:
        return await self._items("rows", of=tenant, tenant=tenant, ids=list(ids))

    async def newest(self, tenant: str, query: Recall, *, kinds: Sequence[str] | None) -> list[MemoryRow]:
        return await self._items(
            "newest",
            of=tenant,
            tenant=tenant,
            kind=query.kind,
            kinds=None if kinds is None else list(kinds),
            subject=query.subject,
            facts=orjson.dumps(query.facts).decode(),
            since=query.since,
            until=query.until,
            limit=query.limit,
        )

    async def claim(self, row: MemoryRow, *, storing: bool = False) -> MemoryRow | None:
        held = await self._reader.row(self._sql["claim"], {**_held(row, row.fence), "storing": storing})
        return _item(held) if held is not None else None

    async def store_away(self, row: MemoryRow, *, fence: int) -> bool:
        return await self._changed("store_away", row, fence)

    async def bring_back(self, row: MemoryRow, content: str, *, fence: int) -> bool:
        return await self._changed("bring_back", row, fence, content=content)

    async def mark(self, row: MemoryRow, tier: MemoryTier, *, fence: int) -> bool:
        return await self._changed("mark", row, fence, tier=tier)

    async def tidied(self, row: MemoryRow, *, fence: int) -> bool:
        return await self._changed("tidied", row, fence)

    async def used(self, uses: Sequence[Use]) -> None:
        if uses:
            ordered = sorted(uses, key=lambda use: (use.tenant, use.id))
            columns = {name: [getattr(use, name) for use in ordered] for name in Use.model_fields}
            await self._reader.execute(self._sql["used"], columns)

    async def untidy(self, *, limit: int) -> list[MemoryRow]:
        return await self._items("untidy", limit=limit)

    async def idle(self, tier: MemoryTier, kinds: KindSet, *, before: datetime, limit: int) -> list[MemoryRow]:
        return await self._items("idle", tier=tier, before=before, limit=limit, **_kinds(kinds))

    async def expired(
        self, kinds: KindSet, *, now: datetime, changed_before: datetime | None, limit: int
    ) -> list[MemoryRow]:
        return await self._items("expired", now=now, changed_before=changed_before, limit=limit, **_kinds(kinds))

    async def erase(
        self, scope: Scope, *, at: datetime, id: str, versions: Mapping[str, int] | None = None
    ) -> Erasure | None:
        ids = list(scope.ids) if scope.ids is not None else None
        params = {
            "id": id,
            "tenant": scope.tenant,
            "subject": scope.subject,
            "ids": ids,
            "versions": [versions.get(each) for each in ids] if ids is not None and versions is not None else None,
            "at": at,
        }
        return await self._reader.run(partial(self._erase, params))

    async def _erase(self, params: Params, session: Session) -> Erasure | None:
        """In one transaction with its fact, which needs to know how many there were."""
        async with session.transaction():
            known = await session.execute(self._sql["is_erasure"], params)
            row = await (await session.execute(self._sql["erase"], params, binary=True)).fetchone()
            made = _erasure(row) if row is not None else None
            if made is not None and await known.fetchone() is None:
                await tell(session, store_facts.of_erasure(made))
            return made

    async def count(self, erasure: Erasure) -> int:
        params = {
            "tenant": erasure.scope.tenant,
            "subject": erasure.scope.subject,
            "by_ids": erasure.scope.ids is not None,
            "ids": list(erasure.ids),
            "fence": erasure.fence,
        }
        row = await self._reader.row(self._sql["count"], params)
        return int(row["found"]) if row is not None else 0

    async def erasures(self, *, limit: int) -> list[Erasure]:
        rows = await self._reader.rows(self._sql["erasures"], {"limit": limit})
        return [made for _, made in readable(rows, _erasure, what="erasure", named="id")]

    async def confirm(self, proof: ForgetProof) -> None:
        await self._reader.execute(
            self._sql["confirm"], {"id": proof.id, "at": proof.at, **told(store_facts.of_erased(proof.id))}
        )

    async def close_erasure(self, id: str) -> None:
        await self._reader.execute(self._sql["close_erasure"], {"id": id})

    async def grant(self, grant: Grant) -> None:
        params = {**dict(grant), "kinds": list(grant.kinds), **told(store_facts.of_grant(grant))}
        await self._reader.execute(self._sql["grant"], params, tenant=grant.tenant)

    async def revoke(self, tenant: str, *, to: str) -> bool:
        params = {"tenant": tenant, "to": to, **told(store_facts.of_revoked_grant(tenant, to))}
        return await self._reader.row(self._sql["revoke"], params, tenant=tenant) is not None

    async def grant_of(self, tenant: str, *, to: str) -> Grant | None:
        row = await self._reader.row(self._sql["grant_of"], {"tenant": tenant, "to": to}, tenant=tenant)
        return _grant(row) if row is not None else None

    async def grants(self, tenant: str) -> list[Grant]:
        rows = await self._reader.rows(self._sql["grants"], {"tenant": tenant}, tenant=tenant)
        return [_grant(row) for row in rows]

    async def _items(self, query: str, *, of: str | None = None, **params: Any) -> list[MemoryRow]:
        rows = await self._reader.rows(self._sql[query], params, tenant=of)
        return [made for _, made in readable(rows, _item, what="memory", named="version")]

    async def _changed(self, query: str, row: MemoryRow, fence: int, **more: Any) -> bool:
        return await self._reader.row(self._sql[query], {**_held(row, fence), **more}) is not None


def _held(row: MemoryRow, fence: int) -> dict[str, Any]:
    return {"tenant": row.tenant, "id": row.id, "fence": fence}


def _kinds(kinds: KindSet) -> dict[str, Any]:
    return {"names": list(kinds.names), "others": kinds.others}


def _item(row: Row) -> MemoryRow:
    return MemoryRow(**{name: value for name, value in row.items() if name not in _NOT_OF_A_ROW})


def _erasure(row: Row) -> Erasure:
    asked = tuple(row["asked"]) if row["by_ids"] else None
    return Erasure(
        id=row["id"],
        scope=Scope(tenant=row["tenant"], ids=asked, subject=row["subject"]),
        ids=tuple(row["ids"]),
        subjects=tuple(row["subjects"]),
        fence=row["fence"],
        at=row["at"],
        confirmed_at=row["confirmed_at"],
    )


def _grant(row: Row) -> Grant:
    return Grant(tenant=row["tenant"], to=row["grantee"], kinds=tuple(row["kinds"]), granted_at=row["granted_at"])
