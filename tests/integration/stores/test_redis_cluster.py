"""What moves in a real cluster is followed: slots that moved, slots on their way, and a master that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from ossa.contracts.cache import CacheGet, CacheSet
from ossa.contracts.errors import StoreUnavailable
from ossa.stores.redis.cache import RedisCache, RedisClusterCache, entry, slot
from scripts.services import Address, Services

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    found = Services(tmp_path_factory.mktemp("services"))
    if missing := found.missing("redis-cluster"):
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    yield found
    found.erase()


@pytest.fixture(scope="module")
def address(services: Services) -> Address:
    return services.start("redis-cluster")


@pytest.fixture
async def cache(address: Address) -> AsyncIterator[RedisClusterCache]:
    opened = RedisClusterCache(address.dsn, room=f"test{time.monotonic_ns()}", answer_s=5)
    yield opened
    await opened.close()


class Masters:
    """The masters, asked directly."""

    def __init__(self, address: Address) -> None:
        password = address.dsn.split("@")[0].rpartition(":")[2]
        clients = [redis.Redis("127.0.0.1", int(host.rpartition(":")[2]), password=password) for host in address.hosts]
        self.all = [client for client in clients if client.info("replication")["role"] == "master"]
        self.ids = {client: client.execute_command("CLUSTER MYID").decode() for client in self.all}

    def owner(self, place: str) -> redis.Redis:
        return next(one for one in self.all if place.endswith(f":{one.get_connection_kwargs()['port']}"))

    def other(self, owner: redis.Redis) -> redis.Redis:
        return next(one for one in self.all if one is not owner)


async def test_a_slot_on_its_way_and_one_that_moved_are_followed(cache: RedisClusterCache, address: Address) -> None:
    await cache.set("stays", b"1", tenant="t", ttl_s=60)
    await cache.set("goes", b"2", tenant="t", ttl_s=60)
    masters, number = Masters(address), slot("t")
    source = masters.owner(cache.place("t"))
    target = masters.other(source)
    target.execute_command("CLUSTER SETSLOT", number, "IMPORTING", masters.ids[source])
    source.execute_command("CLUSTER SETSLOT", number, "MIGRATING", masters.ids[target])

    def move(key: str) -> None:
        """As MIGRATE does it, which would want the password in the command."""
        name = entry("t", cache._room, key)
        found = source.dump(name)
        assert found is not None
        source.delete(name)
        target.execute_command("ASKING")
        target.execute_command("RESTORE-ASKING", name, 60_000, found)

    with target:  # one connection, as ASKING is for the next command of it
        move("goes")
        assert await cache.get("goes", tenant="t") == b"2"
        assert await cache.get("stays", tenant="t") == b"1"
        move("stays")
    for master in (target, source, *masters.all):
        master.execute_command("CLUSTER SETSLOT", number, "NODE", masters.ids[target])
    assert await cache.batch([CacheGet("t", "goes"), CacheGet("t", "stays")]) == [b"2", b"1"]
    await cache.set("stays", b"3", tenant="t", ttl_s=60)
    assert await cache.get("stays", tenant="t") == b"3"
    assert masters.owner(cache.place("t")) is target


async def test_a_master_that_hangs_costs_its_own_tenants_the_answer_time_and_is_replaced(
    services: Services, address: Address
) -> None:
    cache = RedisClusterCache(address.dsn, room="hang", answer_s=0.5)
    tenants = [f"tenant-{number}" for number in range(30)]
    deadline = time.monotonic() + LIMIT_S
    while any(
        isinstance(one, StoreUnavailable)
        for one in await cache.batch([CacheSet(t, "k", b"v", 60_000) for t in tenants])
    ):
        assert time.monotonic() < deadline
    place = cache.place(tenants[0])
    lost = [tenant for tenant in tenants if cache.place(tenant) == place]
    ports = {member.ports["redis"]: member for member in services.status("redis-cluster").members}
    pid = ports[int(place.rpartition(":")[2])].pid
    assert pid is not None and 0 < len(lost) < len(tenants)
    os.kill(pid, signal.SIGSTOP)
    try:
        found = await cache.batch([CacheGet(tenant, "k") for tenant in tenants])
        for tenant, outcome in zip(tenants, found, strict=True):
            assert isinstance(outcome, StoreUnavailable) if tenant in lost else outcome == b"v"
        deadline = time.monotonic() + LIMIT_S
        while cache.place(lost[0]) == place:
            assert time.monotonic() < deadline, "nobody took its place"
            await asyncio.gather(cache.get("k", tenant=lost[0]), return_exceptions=True)
            await asyncio.sleep(0.05)
        while (await asyncio.gather(cache.get("k", tenant=lost[0]), return_exceptions=True)) != [b"v"]:
            assert time.monotonic() < deadline, "its replica had not what it had"
    finally:
        os.kill(pid, signal.SIGCONT)
        await cache.close()


async def test_who_takes_a_cluster_for_one_server_or_one_for_a_cluster_is_told(
    services: Services, address: Address
) -> None:
    single = RedisCache(address.dsn, room="test", answer_s=5)
    found = await asyncio.gather(*(single.get("k", tenant=f"{n}") for n in range(20)), return_exceptions=True)
    assert any("OSSA_CACHE__CLUSTER" in str(one) for one in found if isinstance(one, StoreUnavailable))
    cluster = RedisClusterCache(services.start("redis").dsn, room="test", answer_s=5)
    with pytest.raises(StoreUnavailable, match="OSSA_CACHE__CLUSTER"):
        await cluster.get("k", tenant="t")
    await single.close()
    await cluster.close()
