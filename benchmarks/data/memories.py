"""Recalls by tier over real stores; and 100,000 vectors of many tenants, searched with the tenant's filter."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from pydantic import SecretStr

from benchmarks.data.waits import told
from ossa.app.factories import StoresFactory
from ossa.app.memory import MemoryFactory
from ossa.contracts.configuration import CacheSettings, Database, MemorySettings
from ossa.contracts.memory import EVERY_KIND, KindRules, NewMemory, PlacementPolicy, Recall
from ossa.contracts.vectors import Point, VectorSchema

TENANT = "acme"
WORDS = (
    "invoice", "pod", "restart", "latency", "budget", "token", "cluster", "policy", "release", "ledger",
    "gateway", "journal", "deadline", "customer", "e-mail", "summer", "Berlin", "coffee", "meeting",
    "database", "index", "vector", "shard", "failover", "lease", "quota",
)  # fmt: skip
DIMENSIONS = 256
TENANTS = 20
NEAREST = 10
BATCH = 1_000


async def by_tier(dsn: str, redis_dsn: str, folder: Path, *, items: int, recalls: int) -> list[dict[str, Any]]:
    """hot by id from another process's view (the shared cache), warm by id and by meaning, cold by id."""
    rules = KindRules(hot_uses=1_000_000, warm_uses=1_000_000, warm_idle_s=1e-6)
    hot = KindRules(first="hot", hot_idle_s=1e9)
    policy = PlacementPolicy(kinds={EVERY_KIND: KindRules(hot_uses=1_000_000), "cold": rules, "hot": hot})

    async def opened(name: str) -> Any:
        factory = MemoryFactory(
            MemorySettings(policy=policy),
            CacheSettings(dsn=SecretStr(redis_dsn)),
            StoresFactory(Database(), SecretStr(dsn)),
            folder,
        )
        return await factory()

    rng = random.Random(7)
    memory = await opened("writer")
    ids: dict[str, list[str]] = {}
    for kind in ("hot", "warm", "cold"):
        for number in range(items):
            new = NewMemory(id=f"{kind}-{number}", kind=kind, content=" ".join(rng.choices(WORDS, k=60)))
            await memory.remember(new, tenant=TENANT)
            ids.setdefault(kind, []).append(f"{kind}-{number}")
    while (await memory.sweep()).full:
        pass
    await memory.sweep()
    rows = []
    for kind in ("hot", "warm", "cold"):
        item = await memory.recall(ids[kind][0], tenant=TENANT)
        chosen = rng.choices(ids[kind], k=recalls)

        async def by_id(number: int, chosen: list[str] = chosen) -> None:
            memory._hot._front.drop((TENANT, chosen[number]))  # another process has not read it lately
            await memory.recall(chosen[number], tenant=TENANT)

        rows.append({"tier": kind, "by": "id", "found_in": item.tier, **await _timed(by_id, recalls)})

    async def by_meaning(number: int) -> None:
        await memory.find(Recall(text=" ".join(rng.choices(WORDS, k=6)), kind="warm", limit=5), tenant=TENANT)

    rows.append({"tier": "warm", "by": "meaning", "found_in": "warm", **await _timed(by_meaning, recalls // 4)})
    return rows


async def vectors(folder: Path, *, count: int, queries: int) -> dict[str, Any]:
    """Recall@10 and latency of the embedded Qdrant with a tenant's filter, beside an exact product."""
    from ossa.stores.qdrant.embedded import EmbeddedQdrant

    rng = np.random.default_rng(7)
    centres = rng.normal(size=(200, DIMENSIONS))
    made = centres[rng.integers(0, 200, count)] + 0.7 * rng.normal(size=(count, DIMENSIONS))
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    tenants = rng.integers(0, TENANTS, count)
    index = EmbeddedQdrant(folder / "index", schema=VectorSchema(name="bench", dimensions=256, keywords=("tenant",)))
    await index.open()
    began = time.perf_counter()
    for first in range(0, count, BATCH):
        await index.upsert(
            [
                Point(id=str(UUID(int=place + 1)), vector=tuple(made[place].tolist()), payload=_payload(tenants[place]))
                for place in range(first, min(first + BATCH, count))
            ]
        )
    upsert_s = time.perf_counter() - began
    own = [np.flatnonzero(tenants == tenant) for tenant in range(TENANTS)]
    asked = (made[rng.integers(0, count, queries)] + 0.3 * rng.normal(size=(queries, DIMENSIONS))).astype(np.float32)
    found: list[set[int]] = []

    async def ask(number: int) -> None:
        where = _payload(number % TENANTS)
        near = await index.search(asked[number].tolist(), where=where, limit=NEAREST)
        found.append({UUID(one.id).int - 1 for one in near})

    waits = await _timed(ask, queries)
    exact_waits: list[float] = []
    right = 0
    for number in range(queries):
        began = time.perf_counter()
        mine = own[number % TENANTS]
        best = mine[np.argpartition(-(made[mine] @ asked[number]), NEAREST)[:NEAREST]]
        exact_waits.append(time.perf_counter() - began)
        right += len(found[number] & set(best.tolist()))
    await index.close()
    return {
        **{"vectors": count, "dimensions": DIMENSIONS, "tenants": TENANTS, **waits},
        "recall_at_10": round(right / (queries * NEAREST), 4),
        "exact_p50_ms": told(exact_waits)["p50_ms"],
        "exact_p99_ms": told(exact_waits)["p99_ms"],
        "upserts_per_s": round(count / upsert_s),
    }


def _payload(tenant: Any) -> dict[str, str | int | bool]:
    return {"tenant": f"tenant-{int(tenant)}"}


async def _timed(act: Callable[[int], Awaitable[None]], count: int) -> dict[str, Any]:
    waits = []
    for number in range(count):
        began = time.perf_counter()
        await act(number)
        waits.append(time.perf_counter() - began)
    return told(waits)
