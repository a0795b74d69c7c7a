"""The same promises of the cache in memory (a fake) and of Redis (a real Valkey)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossa.contracts.cache import MAX_VALUE_BYTES, CacheStore
from ossa.contracts.errors import InvalidRequest, PayloadTooLarge, StoreUnavailable
from ossa.stores.embedded_redis import EmbeddedRedis
from ossa.stores.memory.cache import MemoryCache
from ossa.stores.redis.cache import RedisCache
from ossa.vortex.exchange import TieredCache, TokenExchange
from ossa.vortex.exchange.resolvers import FakeMemory, standard_registry
from ossa.vortex.exchange.template import Template, Trusted

NAMES = ("t", "T", "t:exchange", "t:", ":t", "", "*", "{t}", "t\n", "ä", "\ud800", "x" * 5000)
PLACES = st.tuples(st.text(":ab", max_size=4), st.text(":ab", max_size=4))


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("embedded") / "redis")
    server.start()
    yield server
    server.erase()


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[CacheStore]:
    opened: CacheStore
    if request.param == "memory":
        opened = MemoryCache()
    else:
        dsn = request.getfixturevalue("valkey").start()
        opened = RedisCache(dsn, room=f"test{time.monotonic_ns()}", answer_s=5)
    yield opened
    await opened.close()


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


async def test_many_callers_at_once_are_all_answered(cache: CacheStore) -> None:
    async def round_trip(number: int) -> bytes | None:
        await cache.set(f"k{number}", str(number).encode(), tenant="t", ttl_s=60)
        return await cache.get(f"k{number}", tenant="t")

    assert await asyncio.gather(*map(round_trip, range(200))) == [str(number).encode() for number in range(200)]


# When it is down. How a store is taken down differs; what a caller sees does not.


async def test_the_fake_that_is_down_says_so(cache: CacheStore) -> None:
    if isinstance(cache, MemoryCache):
        cache.go_down()
        await every_call_says_it_is_unavailable(cache)
        cache.come_back()
        await cache.ping()


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
    with pytest.raises(StoreUnavailable, match="refuses") as caught:
        await cache.ping()
    assert "guess-work" not in f"{caught.value!r}{cache!r}"
    await cache.close()


async def test_the_exchange_outlives_its_redis(own: EmbeddedRedis) -> None:
    memory = FakeMemory()
    memory.keep("goal", "win", scope="team", tenant="t")
    cache = RedisCache(own.start(), room="exchange", answer_s=5)
    template = Template.parse(Trusted("{CONTEXT:memory:team:goal}", "a test"))

    async def origin(exchange: TokenExchange) -> str:
        found = await exchange.resolve(template, tenant="t")
        assert found.text == "win"
        return str(found.resolved[0].origin)

    def process() -> TokenExchange:
        return TokenExchange(standard_registry(memory=memory), cache=TieredCache(cache, answer_s=5, rest_s=0))

    first = process()
    assert [await origin(first), await origin(first), await origin(process())] == ["resolver", "front", "store"]
    own.stop()
    lonely = process()
    assert [await origin(first), await origin(lonely), await origin(lonely)] == ["front", "resolver", "front"]
    assert lonely.counts.cache_degraded > 0
    own.start()
    assert [await origin(process()), await origin(process())] == ["resolver", "store"]
    await cache.close()
