"""A master of the Redis cluster dies, and no user sees it: errors 0, no value of somebody else, hits again soon."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from ossa.app.connections import shared_cache
from ossa.caching.front import Front
from ossa.caching.guarded import GuardedCache
from ossa.contracts.configuration import CacheSettings
from ossa.contracts.memory_tiers import Copy
from ossa.memory.tiers import HotCopies
from ossa.vortex.exchange.cache import Held, TieredCache
from scripts.services import Services

TENANTS = [f"tenant-{number}" for number in range(24)]
KEYS = 8
WORKERS = 12
RECOVERS_S = 60.0


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    found = Services(tmp_path / "services")
    if missing := found.missing("redis-cluster"):
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    yield found
    found.erase()


class Users:
    """They read and write through the exchange's cache and the memory's hot tier, and look at all they get."""

    def __init__(self, exchange: GuardedCache, memory: GuardedCache) -> None:
        self.shared = exchange, memory
        # Without a front all goes to Redis; one of its own each time has the same effect for the memory.
        self._exchange = TieredCache(exchange, front=Front(lambda held: 2, max_bytes=1))
        self._memory = memory
        self.done = 0
        self.hits: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self.wrong: list[object] = []
        self._round = 0

    async def one(self, tenant: str, key: str) -> None:
        self._round += 1
        began = time.time()
        owner = f"{tenant}/{key}"
        try:
            held = await self._exchange.get(key, tenant=tenant, now=began, lifetime_s=60)
            copy = await HotCopies(self._memory).get(tenant, key)
            await self._exchange.put(key, Held(f"exchange {owner}", began), tenant=tenant, lifetime_s=60)
            kept = Copy(version=self._round, content=f"memory {owner}")
            await HotCopies(self._memory).put(tenant, key, kept, shared=True)
        except Exception as error:
            self.errors.append(error)
            return
        self.done += 1
        if held is not None and held.text != f"exchange {owner}":
            self.wrong.append(held)
        if copy is not None and copy.content != f"memory {owner}":
            self.wrong.append(copy)
        self.hits[tenant] += (held is not None) + (copy is not None)

    async def work(self, number: int, over: asyncio.Event) -> None:
        while not over.is_set():
            for tenant in TENANTS:
                await self.one(tenant, f"key-{number % KEYS}")
                await asyncio.sleep(0.002)  # a user thinks; the machine has others to serve

    async def until_each_tenant_hits(self) -> float:
        """Seconds until every tenant's entries are found again."""
        began = time.monotonic()
        before = self.hits.copy()
        while not all(self.hits[tenant] > before[tenant] + 4 for tenant in TENANTS):
            assert time.monotonic() - began < RECOVERS_S, f"only {self.hits - before} found something again"
            await asyncio.sleep(0.05)
        return time.monotonic() - began


async def test_a_master_is_killed_and_no_user_sees_it(
    services: Services, record_property: Callable[[str, object], None]
) -> None:
    address = await asyncio.to_thread(services.start, "redis-cluster")
    dsn = f"redis+cluster://{address.dsn.removeprefix('redis://')},{address.hosts[1]}"
    settings = CacheSettings(dsn=SecretStr(dsn))
    rooms = [shared_cache(settings, room=room) for room in ("exchange", "memory")]
    assert rooms[0] is not None and rooms[1] is not None
    users, over = Users(rooms[0], rooms[1]), asyncio.Event()
    workers = [asyncio.create_task(users.work(number, over)) for number in range(WORKERS)]
    try:
        await users.until_each_tenant_hits()
        ports = {member.ports["redis"]: member.name for member in services.status("redis-cluster").members}
        place = rooms[0].place(TENANTS[0])
        lost = [tenant for tenant in TENANTS if rooms[0].place(tenant) == place]
        assert 0 < len(lost) < len(TENANTS)
        before = users.done
        await asyncio.to_thread(services.kill, "redis-cluster", ports[int(place.rpartition(":")[2])])
        while not any(room.counts.failed for room in users.shared):  # noqa: ASYNC110 - until somebody met it
            await asyncio.sleep(0.01)
        took = await users.until_each_tenant_hits()
    finally:
        over.set()
        await asyncio.gather(*workers, return_exceptions=True)
    record_property("seconds_until_hits", took)
    record_property("tenants_that_lost_their_server", f"{len(lost)} of {len(TENANTS)}")
    record_property("rounds_since_the_kill", users.done - before)
    for room in users.shared:
        await room.close()
    assert users.errors == []
    assert users.wrong == []
    assert users.done > before
