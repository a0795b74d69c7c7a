"""The shared cache as a gateway replica uses it: many callers at once on one event loop, a Zipf choice of keys."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster

from benchmarks.data.waits import told
from ossa.app.connections import shared_cache
from ossa.contracts.configuration import CacheSettings

KEYS = 20_000
TENANTS = 16
ZIPF = 0.99
WRITES = 0.1
VALUE = b"x" * 400
TTL_S = 3600.0
CHOICES = 200_000

Act = Callable[[str, str, bool], Awaitable[None]]
"""tenant, key, whether it is written."""


async def compare(dsn: str, hosts: tuple[str, ...], *, callers: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Ours and redis-py in turns; `hosts` of more than one are a cluster."""
    cluster = len(hosts) > 1
    chosen = _choices()
    found: dict[str, list[dict[str, Any]]] = {"ossa": [], "bare_pipeline": [], "bare_calls": []}
    settings = CacheSettings(dsn=SecretStr(dsn), cluster=cluster, answer_s=2.0)
    for _ in range(rounds):
        cache = shared_cache(settings, room="bench")
        assert cache is not None
        found["ossa"].append(await _ours(cache, chosen, callers, seconds))
        await cache.close()
        bare = _bare(dsn, cluster)
        found["bare_pipeline"].append(await _pipelined(bare, chosen, callers, seconds, cluster=cluster))
        found["bare_calls"].append(await _called(bare, chosen, callers, seconds))
        await bare.aclose()
    arms = {arm: statistics.median(run["ops_per_s"] for run in runs) for arm, runs in found.items()}
    last = found["ossa"][-1]
    return {
        "callers": callers,
        "servers": len(hosts),
        "rounds": rounds,
        "ossa_ops_per_s": round(arms["ossa"]),
        "ossa_ops_range": [round(one) for one in _range(found["ossa"])],
        **{f"ossa_{name}": last[name] for name in ("p50_ms", "p99_ms", "errors")},
        "bare_pipeline_ops_per_s": round(arms["bare_pipeline"]),
        "bare_calls_ops_per_s": round(arms["bare_calls"]),
        "ratio_to_pipeline": round(arms["ossa"] / arms["bare_pipeline"], 3),
        "ratio_to_calls": round(arms["ossa"] / arms["bare_calls"], 3),
    }


def _choices() -> list[tuple[str, str, bool]]:
    rng = np.random.default_rng(7)
    weights = 1 / np.arange(1, KEYS + 1) ** ZIPF
    keys = rng.choice(KEYS, CHOICES, p=weights / weights.sum())
    writes = rng.random(CHOICES) < WRITES
    return [(f"tenant-{key % TENANTS}", f"key-{key}", bool(write)) for key, write in zip(keys, writes, strict=True)]


async def _ours(cache: Any, chosen: list[tuple[str, str, bool]], callers: int, seconds: float) -> dict[str, Any]:
    async def act(tenant: str, key: str, write: bool) -> None:
        if write:
            await cache.set(key, VALUE, tenant=tenant, ttl_s=TTL_S)
        else:
            await cache.get(key, tenant=tenant)

    return await _run(act, chosen, callers, seconds)


async def _called(redis: Any, chosen: list[tuple[str, str, bool]], callers: int, seconds: float) -> dict[str, Any]:
    """One round trip each, over as many connections as ours may have."""

    async def act(tenant: str, key: str, write: bool) -> None:
        name = f"bare:{{{tenant}}}:{key}"
        if write:
            await redis.set(name, VALUE, ex=int(TTL_S))
        else:
            await redis.get(name)

    return await _run(act, chosen, callers, seconds)


async def _pipelined(
    redis: Any, chosen: list[tuple[str, str, bool]], callers: int, seconds: float, *, cluster: bool
) -> dict[str, Any]:
    """As many commands as there are callers in one pipeline, one pipeline after the other: no single answers."""
    done, at = 0, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        pipe = redis.pipeline() if cluster else redis.pipeline(transaction=False)
        for tenant, key, write in chosen[at : at + callers]:
            name = f"bare:{{{tenant}}}:{key}"
            if write:
                pipe.set(name, VALUE, ex=int(TTL_S))
            else:
                pipe.get(name)
        done += len(await pipe.execute())
        at = (at + callers) % (CHOICES - callers)
    return {"ops_per_s": done / (time.perf_counter() - began)}


async def _run(act: Act, chosen: list[tuple[str, str, bool]], callers: int, seconds: float) -> dict[str, Any]:
    waits: list[float] = []
    done = errors = 0
    began = time.perf_counter()
    until = began + seconds

    async def caller(number: int) -> None:
        nonlocal done, errors
        at = number * (CHOICES // callers)
        while (now := time.perf_counter()) < until:
            try:
                await act(*chosen[at % CHOICES])
                done += 1
            except Exception:  # noqa: BLE001 - counted
                errors += 1
            if done % 16 == 0:
                waits.append(time.perf_counter() - now)
            at += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return {"ops_per_s": done / (time.perf_counter() - began), "errors": errors, **told(waits)}


def _bare(dsn: str, cluster: bool) -> Any:
    if cluster:
        return RedisCluster.from_url(dsn.replace("redis+cluster://", "redis://").split(",")[0])
    return Redis.from_pool(BlockingConnectionPool.from_url(dsn, max_connections=64, timeout=None))


def _range(runs: list[dict[str, Any]]) -> tuple[float, float]:
    return min(run["ops_per_s"] for run in runs), max(run["ops_per_s"] for run in runs)
