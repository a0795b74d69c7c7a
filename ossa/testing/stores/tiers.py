"""The stores behind the memory and the caches: a cache, vectors, objects and a catalogue, all in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from time import monotonic
from typing import Any

from ossa.contracts.cache import CacheAct, CacheDrop, CacheGet, CacheOutcome, CacheSet
from ossa.contracts.memory import ForgetProof, Grant, KindSet, MemoryTier, Recall, Scope
from ossa.contracts.memory_tiers import Draft, Erasure, MemoryRow, Use
from ossa.contracts.vectors import Below, Found, Point, VectorSchema, Where
from ossa.stores import store_facts
from ossa.stores.checks import check_asked, check_ids, check_points, check_replaced, check_vector
from ossa.testing.stores.facts import MemoryFacts
from ossa.testing.stores.gate import Gate, Gated


class MemoryCache(Gated):
    """`ossa.contracts.cache.BatchStore`, a fake for tests and trials. It has no bound.

    Args:
        clock: seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._gate = Gate()
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[bytes, float]] = {}

    async def get(self, key: str, *, tenant: str) -> bytes | None:
        value, until = self._kept.get((tenant, key), (None, 0.0))
        if value is not None and self._clock() >= until:
            del self._kept[tenant, key]
            return None
        return value

    async def set(self, key: str, value: bytes, *, tenant: str, ttl_s: float) -> None:
        act = CacheSet.checked(tenant, key, value, ttl_s)
        self._set(act)

    async def drop(self, key: str, *, tenant: str) -> None:
        self._kept.pop((tenant, key), None)

    async def batch(self, acts: Sequence[CacheAct]) -> list[CacheOutcome]:
        found: list[CacheOutcome] = [
            await self.get(act.key, tenant=act.tenant) if isinstance(act, CacheGet) else None for act in acts
        ]
        for act in acts:
            if isinstance(act, CacheSet):
                self._set(act)
            elif isinstance(act, CacheDrop):
                await self.drop(act.key, tenant=act.tenant)
        return found

    def place(self, tenant: str) -> str:
        return ""

    async def ping(self) -> None:
        """Raises `StoreUnavailable` while the fake is down."""

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    def _set(self, act: CacheSet) -> None:
        self._kept[act.tenant, act.key] = (bytes(act.value), self._clock() + act.lifetime_ms / 1000)


class MemoryVectors(Gated):
    """`ossa.contracts.vectors.VectorIndex`, a fake for tests and trials: exact, slow, gone with the process."""

    def __init__(self, schema: VectorSchema) -> None:
        self._schema = schema
        self._gate = Gate()
        self._points: dict[str, tuple[tuple[float, ...], str]] = {}

    async def open(self) -> None:
        self._gate.check()

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    async def upsert(self, points: Sequence[Point]) -> None:
        check_points(points, self._schema)
        for point in points:
            self._points[point.id] = (_unit(point.vector), json.dumps(point.payload))

    async def search(
        self, vector: Sequence[float], *, where: Where, limit: int, least_score: float = -1.0
    ) -> list[Found]:
        check_vector(vector, self._schema)
        wanted = _unit(vector)
        found = [
            Found(id=key, score=_product(wanted, self._points[key][0]), payload=payload)
            for key, payload in self._matching(where, None)
        ]
        found = [one for one in found if one.score >= least_score]
        return sorted(found, key=lambda one: -one.score)[:limit]

    async def fetch(self, ids: Sequence[str]) -> list[Found]:
        check_ids(ids)
        return [
            Found(id=key, score=1.0, payload=json.loads(self._points[key][1])) for key in ids if key in self._points
        ]

    async def oldest(self, where: Where, *, by: str, limit: int) -> list[Found]:
        found = [Found(id=key, score=1.0, payload=payload) for key, payload in self._matching(where, None)]
        return sorted((one for one in found if by in one.payload), key=lambda one: float(one.payload[by]))[:limit]

    async def count(self, where: Where, *, below: Below | None = None) -> int:
        return sum(1 for _ in self._matching(where, below))

    async def delete(self, ids: Sequence[str]) -> None:
        check_ids(ids)
        for key in ids:
            self._points.pop(key, None)

    async def delete_where(self, where: Where, *, below: Below | None = None) -> None:
        check_asked(where, below)
        for key in [key for key, _ in self._matching(where, below)]:
            del self._points[key]

    def _matching(self, where: Where, below: Below | None) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, (_, text) in self._points.items():
            payload = json.loads(text)
            if all(_equals(payload.get(field), value) for field, value in where.items()) and _is_below(payload, below):
                yield key, payload


def _equals(found: Any, value: object) -> bool:
    if isinstance(found, list):
        return any(_equals(item, value) for item in found)
    return type(found) is type(value) and found == value


def _is_below(payload: dict[str, Any], below: Below | None) -> bool:
    if below is None:
        return True
    found = payload.get(below.field)
    return isinstance(found, int | float) and found < below.value


def _unit(vector: Sequence[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    return tuple(value / length for value in vector)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(left * right for left, right in zip(one, other, strict=True))


Place = tuple[str, str, str, int]


class InMemoryObjects(Gated):
    """`ossa.contracts.memory_tiers.ColdTier`, a fake for tests and trials."""

    def __init__(self) -> None:
        self._gate = Gate()
        self._kept: dict[Place, str] = {}

    async def put(self, row: MemoryRow, content: str, *, fence: int) -> None:
        self._kept[row.tenant, row.subject, row.id, fence] = content

    async def get(self, row: MemoryRow, *, fence: int) -> str | None:
        return self._kept.get((row.tenant, row.subject, row.id, fence))

    async def drop(self, row: MemoryRow, *, below: int, keep: int | None = None) -> None:
        mine = (row.tenant, row.subject, row.id)
        self._remove([one for one in self._kept if one[:3] == mine and one[3] < below and one[3] != keep])

    async def drop_one(self, row: MemoryRow, *, fence: int) -> None:
        self._kept.pop((row.tenant, row.subject, row.id, fence), None)

    async def erase(self, erasure: Erasure) -> int:
        return self._remove(self._covered(erasure))

    async def count(self, erasure: Erasure) -> int:
        return len(self._covered(erasure))

    async def close(self) -> None:
        """Nothing to close; what is in it stays."""

    def held(self) -> list[Place]:
        """Tenant, subject, id and fence of every object."""
        return sorted(self._kept)

    def _covered(self, erasure: Erasure) -> list[Place]:
        scope = erasure.scope
        return [
            one
            for one in self._kept
            if one[0] == scope.tenant
            and one[3] < erasure.fence
            and (one[2] in erasure.ids if scope.ids is not None else scope.subject in (None, one[1]))
        ]

    def _remove(self, places: list[Place]) -> int:
        for place in places:
            del self._kept[place]
        return len(places)


class MemoryOriginals(Gated):
    """`ossa.contracts.compression.OriginalStore`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._kept: dict[tuple[str, str], tuple[str, datetime]] = {}

    async def put(self, handle: str, content: str, *, tenant: str, expires_at: datetime) -> None:
        _, known = self._kept.get((tenant, handle), ("", expires_at))
        self._kept[tenant, handle] = (content, max(known, expires_at))

    async def get(self, handle: str, *, tenant: str, now: datetime) -> str | None:
        content, expires_at = self._kept.get((tenant, handle), (None, now))
        return content if expires_at > now else None

    async def sweep(self, *, now: datetime) -> int:
        old = [key for key, (_, expires_at) in self._kept.items() if expires_at <= now]
        for key in old:
            del self._kept[key]
        return len(old)


Key = tuple[str, str]


class InMemoryCatalogue(Gated):
    """`ossa.contracts.memory_tiers.MemoryCatalogue`, a fake for tests and trials: gone with the process."""

    def __init__(self, gate: Gate | None = None, facts: MemoryFacts | None = None) -> None:
        self._gate = gate or Gate()
        self._facts = facts or MemoryFacts(self._gate, lambda: datetime.now(UTC))
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
        self._facts.add_facts([store_facts.of_memory(draft)])
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
        self._facts.add_facts([store_facts.of_erasure(made)])
        return made

    async def count(self, erasure: Erasure) -> int:
        return sum(row.fence < erasure.fence and _covered(row, erasure) for row in self._rows.values())

    async def erasures(self, *, limit: int) -> list[Erasure]:
        return sorted(self._erasures.values(), key=lambda one: one.fence)[:limit]

    async def confirm(self, proof: ForgetProof) -> None:
        if proof.id in self._erasures:
            found = self._erasures[proof.id]
            if found.confirmed_at is None:
                self._facts.add_facts([store_facts.of_erased(proof.id, found.scope.tenant)])
            self._erasures[proof.id] = found.model_copy(update={"confirmed_at": found.confirmed_at or proof.at})

    async def close_erasure(self, id: str) -> None:
        self._erasures.pop(id, None)

    async def grant(self, grant: Grant) -> None:
        self._grants[grant.tenant, grant.to] = grant
        self._facts.add_facts([store_facts.of_grant(grant)])

    async def revoke(self, tenant: str, *, to: str) -> bool:
        gone = self._grants.pop((tenant, to), None)
        if gone is not None:
            self._facts.add_facts([store_facts.of_revoked_grant(tenant, to)])
        return gone is not None

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
