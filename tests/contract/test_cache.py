"""The same promises of the cache in memory (a fake), a real Valkey, a real Redis and a real cluster of nine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossa.app.local_ray import free_port
from ossa.caching.coalescing import CoalescingCache
from ossa.caching.guarded import GuardedCache
from ossa.contracts.cache import (
    MAX_VALUE_BYTES,
    BatchStore,
    CacheAct,
    CacheDrop,
    CacheGet,
    CacheSet,
    CacheStore,
)
from ossa.contracts.errors import InvalidRequest, PayloadTooLarge, StoreUnavailable
from ossa.embedded.redis import EmbeddedRedis
from ossa.stores.redis.cache import RedisCache, RedisClusterCache
from ossa.testing.stores.tiers import MemoryCache
from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry
from ossa.vortex.exchange.template import Template, Trusted
from scripts.services import Services

NAMES = ("t", "T", "t:exchange", "t:", ":t", "", "*", "{t}", "t\n", "ä", "\ud800", "x" * 5000)
PLACES = st.tuples(st.text(":ab", max_size=4), st.text(":ab", max_size=4))


STORES = ("memory", "valkey", "redis", "cluster")
KINDS = (*STORES, "coalesced-memory", "coalesced-cluster")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    found = Services(tmp_path_factory.mktemp("services"))
    yield found
    found.erase()


@pytest.fixture(scope="module")
def dsns(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[Callable[[str], str]]:
    """Starts a server when its DSN is asked for first; skips where it is not installed."""
    embedded = EmbeddedRedis(tmp_path_factory.mktemp("embedded") / "redis")

    def dsn(kind: str) -> str:
        if kind == "valkey":
            return embedded.start()
        name = "redis" if kind == "redis" else "redis-cluster"
        if missing := services.missing(name):
            pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
        address = services.start(name)
        return address.dsn if kind == "redis" else f"redis+cluster://{address.dsn.removeprefix('redis://')}"

    yield dsn
    embedded.erase()


def coalesced(store: BatchStore) -> CacheStore:
    return GuardedCache(CoalescingCache(store, answer_s=5), answer_s=None)


@pytest.fixture(params=KINDS)
async def cache(request: pytest.FixtureRequest, dsns: Callable[[str], str]) -> AsyncIterator[CacheStore]:
    around, _, kind = request.param.rpartition("-")
    store: BatchStore
    room = f"test{time.monotonic_ns()}"
    if kind == "memory":
        store = MemoryCache()
    elif kind == "cluster":
        store = RedisClusterCache(dsns(kind), room=room, answer_s=5)
    else:
        store = RedisCache(dsns(kind), room=room, answer_s=5)
    used = coalesced(store) if around else store
    yield used
    await used.close()


async def test_what_was_set_is_got_until_it_is_dropped(cache: CacheStore) -> None:
    assert await cache.get("k", tenant="t") is None
    await cache.set("k", b"\x00\xff\r\n", tenant="t", ttl_s=60)
    assert await cache.get("k", tenant="t") == b"\x00\xff\r\n"
    await cache.set("k", b"", tenant="t", ttl_s=60)
    assert await cache.get("k", tenant="t") == b""
    await cache.drop("k", tenant="t")
    await cache.drop("k", tenant="t")
    assert await cache.get("k", tenant="t") is None
    await cache.ping()


async def test_tenants_and_keys_of_any_name_have_entries_of_their_own(cache: CacheStore) -> None:
    places = [(tenant, key) for tenant in NAMES for key in NAMES]
    for number, (tenant, key) in enumerate(places):
        await cache.set(key, str(number).encode(), tenant=tenant, ttl_s=60)
    for number, (tenant, key) in enumerate(places):
        assert await cache.get(key, tenant=tenant) == str(number).encode()


@given(one=PLACES, other=PLACES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_no_two_places_are_one(cache: CacheStore, one: tuple[str, str], other: tuple[str, str]) -> None:
    await cache.drop(other[1], tenant=other[0])
    await cache.set(one[1], b"mine", tenant=one[0], ttl_s=60)
    assert (await cache.get(other[1], tenant=other[0]) is None) == (one != other)


async def test_a_value_goes_when_its_time_is_over_and_a_new_one_has_a_new_time(cache: CacheStore) -> None:
    await cache.set("short", b"v", tenant="t", ttl_s=0.02)
    await cache.set("again", b"v", tenant="t", ttl_s=0.02)
    await cache.set("again", b"v", tenant="t", ttl_s=60)
    deadline = time.monotonic() + 30
    while await cache.get("short", tenant="t") is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await cache.get("again", tenant="t") == b"v"


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e12])
async def test_a_lifetime_that_is_none_is_refused(cache: CacheStore, ttl_s: float) -> None:
    with pytest.raises(InvalidRequest):
        await cache.set("k", b"v", tenant="t", ttl_s=ttl_s)


async def test_a_value_has_at_most_its_size(cache: CacheStore) -> None:
    await cache.set("k", b"x" * MAX_VALUE_BYTES, tenant="t", ttl_s=60)
    with pytest.raises(PayloadTooLarge):
        await cache.set("k", b"x" * (MAX_VALUE_BYTES + 1), tenant="t", ttl_s=60)
    assert len(await cache.get("k", tenant="t") or b"") == MAX_VALUE_BYTES


@pytest.mark.parametrize("cache", STORES, indirect=True)
async def test_many_things_in_one_go_are_each_as_if_done_alone(cache: BatchStore) -> None:
    places = [(f"tenant-{number % 20}", f"key-{number}") for number in range(100)]
    written = [CacheSet.checked(tenant, key, key.encode(), 60) for tenant, key in places]
    assert await cache.batch(written) == [None] * 100
    mixed: list[CacheAct] = []
    for number, (tenant, key) in enumerate(places):
        mixed.append(CacheGet(tenant, key))
        if number % 3 == 0:
            mixed.append(CacheDrop(tenant, key))
        elif number % 3 == 1:
            mixed += [CacheSet.checked(tenant, key, b"first", 60), CacheSet.checked(tenant, key, b"last", 60)]
    found = await cache.batch(mixed)
    assert [one for act, one in zip(mixed, found, strict=True) if isinstance(act, CacheGet)] == [
        key.encode() for _, key in places
    ]
    assert not any(one for act, one in zip(mixed, found, strict=True) if not isinstance(act, CacheGet))
    expected = [(None, b"last", key.encode())[number % 3] for number, (_, key) in enumerate(places)]
    assert await cache.batch([CacheGet(tenant, key) for tenant, key in places]) == expected
    assert await cache.batch([]) == []


async def test_a_value_got_after_it_was_set_is_never_an_older_one(cache: CacheStore) -> None:
    async def writer(key: str) -> None:
        for number in range(15):
            await cache.set(key, b"%d" % number, tenant="t", ttl_s=60)
            assert await cache.get(key, tenant="t") == b"%d" % number

    async def reader() -> None:
        for number in range(60):
            await cache.get(f"key-{number % 5}", tenant="t")

    await asyncio.gather(*(writer(f"key-{number}") for number in range(5)), *(reader() for _ in range(5)))


async def test_many_callers_at_once_are_all_answered(cache: CacheStore) -> None:
    async def round_trip(number: int) -> bytes | None:
        await cache.set(f"k{number}", str(number).encode(), tenant="t", ttl_s=60)
        return await cache.get(f"k{number}", tenant="t")

    assert await asyncio.gather(*map(round_trip, range(200))) == [str(number).encode() for number in range(200)]


# When it is down. How a store is taken down differs; what a caller sees does not.


@pytest.fixture(params=("memory", "redis", "cluster", "coalesced-memory", "coalesced-redis", "coalesced-cluster"))
async def down(request: pytest.FixtureRequest) -> AsyncIterator[CacheStore]:
    """A cache that is down from the start: the fake was told so, and nobody listens where the servers should be."""
    around, _, kind = request.param.rpartition("-")
    store: BatchStore
    if kind == "memory":
        store = MemoryCache()
        store.go_down()
    elif kind == "redis":
        store = RedisCache(f"redis://127.0.0.1:{free_port()}/0", room="test", answer_s=5)
    else:
        store = RedisClusterCache(f"redis+cluster://127.0.0.1:{free_port()}", room="test", answer_s=5)
    used = coalesced(store) if around else store
    yield used
    await used.close()


async def test_a_cache_that_is_down_says_so(down: CacheStore) -> None:
    await every_call_says_it_is_unavailable(down)


async def test_the_fake_comes_back_with_what_it_had() -> None:
    cache = MemoryCache()
    await cache.set("k", b"v", tenant="t", ttl_s=60)
    cache.go_down()
    await every_call_says_it_is_unavailable(cache)
    cache.come_back()
    assert await cache.get("k", tenant="t") == b"v"


async def every_call_says_it_is_unavailable(cache: CacheStore) -> None:
    for call in (
        lambda: cache.get("k", tenant="t"),
        lambda: cache.set("k", b"v", tenant="t", ttl_s=1),
        lambda: cache.drop("k", tenant="t"),
        cache.ping,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await call()
        assert caught.value.retry_after_s


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis")
    yield server
    server.erase()


async def test_a_redis_that_was_killed_is_unavailable_and_is_found_again(own: EmbeddedRedis) -> None:
    dsn = own.start()
    cache = RedisCache(dsn, room="test", answer_s=5)
    await cache.set("k", b"v", tenant="t", ttl_s=60)
    pid = own.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while own.pid is not None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process tells nobody
        await asyncio.sleep(0.01)
    await every_call_says_it_is_unavailable(cache)
    assert own.start() == dsn
    assert await cache.get("k", tenant="t") is None
    await cache.close()


async def test_a_redis_that_hangs_is_not_waited_for(own: EmbeddedRedis) -> None:
    cache = RedisCache(own.start(), room="test", answer_s=0.05)
    pid = own.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await every_call_says_it_is_unavailable(cache)
    finally:
        os.kill(pid, signal.SIGCONT)
    await cache.close()


async def test_a_wrong_password_is_unavailable_and_is_not_told(own: EmbeddedRedis) -> None:
    password = own.start().split("@")[0].removeprefix("redis://:")
    cache = RedisCache(own.start().replace(password, "guess-work"), room="test", answer_s=5)
    with pytest.raises(StoreUnavailable, match="OSSA_CACHE__DSN") as caught:
        await cache.ping()
    assert "guess-work" not in f"{caught.value!r}{cache!r}"
    await cache.close()


class Goal:
    """A memory that counts how often it is asked."""

    asked = 0

    async def recall(self, key: str, *, scope: str, tenant: str) -> str:
        self.asked += 1
        return "win"


async def test_the_exchange_outlives_its_redis(own: EmbeddedRedis) -> None:
    memory = Goal()
    cache = RedisCache(own.start(), room="exchange", answer_s=5)

    async def asked(exchange: TokenExchange) -> int:
        """How often the memory is asked for the value."""
        before = memory.asked
        template = Template.parse(Trusted("{CONTEXT:memory:team:goal}"))
        assert (await exchange.resolve(template, tenant="t")).text == "win"
        return memory.asked - before

    def process() -> TokenExchange:
        guarded = GuardedCache(cache, room="exchange", answer_s=5, rest_s=0)
        return TokenExchange(standard_registry(memory=memory), cache=TieredCache(guarded))

    first = process()
    assert [await asked(first), await asked(first), await asked(process())] == [1, 0, 0]
    own.stop()
    lonely = process()
    assert [await asked(first), await asked(lonely), await asked(lonely)] == [0, 1, 0]
    own.start()
    assert [await asked(process()), await asked(process())] == [1, 0]
    await cache.close()
