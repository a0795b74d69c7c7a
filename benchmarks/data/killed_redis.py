"""A master of a Redis cluster is killed while users read and write through the memory's hot tier."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pydantic import SecretStr

from ossa.app.connections import shared_cache
from ossa.contracts.configuration import CacheSettings
from ossa.contracts.memory_tiers import Copy
from ossa.memory.tiers import HotCopies
from scripts.services import Services

NAME = "redis-cluster"
TENANTS = 32
KEYS = 16
LOOK_S = 0.5
THINK_S = 0.002


async def kill_master(made: Services, *, callers: int, seconds: float) -> dict[str, Any]:
    address = made.address(NAME)
    hosts = ",".join(address.hosts[1:3])
    dsn = f"redis+cluster://{address.dsn.removeprefix('redis://')},{hosts}"
    shared = shared_cache(CacheSettings(dsn=SecretStr(dsn)), room="bench")
    assert shared is not None
    done = errors = wrong = 0
    hits: list[float] = []
    asked: list[float] = []
    over = False

    async def user(number: int) -> None:
        nonlocal done, errors, wrong
        turn = number
        while not over:
            tenant, key = f"tenant-{turn % TENANTS}", f"key-{turn % KEYS}"
            turn += callers
            try:
                near = HotCopies(shared)  # without a front of its own all goes to Redis
                copy = await near.get(tenant, key)
                await HotCopies(shared).put(tenant, key, Copy(version=turn, content=f"{tenant}/{key}"), shared=True)
            except Exception:  # noqa: BLE001 - counted: nobody may see one
                errors += 1
                continue
            done += 1
            asked.append(time.perf_counter())
            if copy is not None:
                hits.append(time.perf_counter())
                wrong += copy.content != f"{tenant}/{key}"
            await asyncio.sleep(THINK_S)

    users = [asyncio.create_task(user(number)) for number in range(callers)]
    await asyncio.sleep(5)
    place = shared.place("tenant-0")
    ports = {member.ports["redis"]: member.name for member in made.status(NAME).members}
    killed_at = time.perf_counter()
    await asyncio.to_thread(made.kill, NAME, ports[int(place.rpartition(":")[2])])
    await asyncio.sleep(seconds)
    over = True
    await asyncio.gather(*users)
    await shared.close()
    share = [
        (start, _between(hits, start) / max(1, _between(asked, start)))
        for start in (killed_at + LOOK_S * step for step in range(int(seconds / LOOK_S)))
    ]
    low = [start for start, hit in share if hit < 0.95]
    return {
        **{"callers": callers, "tenants": TENANTS, "done": done, "errors": errors, "wrong": wrong},
        "hits_before": round(_between(hits, killed_at - 2, 2) / max(1, _between(asked, killed_at - 2, 2)), 4),
        "lowest_hits_after": round(min(hit for _, hit in share), 4),
        "seconds_until_95_of_100_hit": round(max(low, default=killed_at - LOOK_S) + LOOK_S - killed_at, 1),
    }


def _between(times: list[float], start: float, length: float = LOOK_S) -> int:
    return sum(start <= one < start + length for one in times)
