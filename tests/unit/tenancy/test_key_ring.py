from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.access import ApiKey, Scope
from ossa.contracts.errors import NotFound, StoreUnavailable, Unauthenticated
from ossa.tenancy.key_ring import KeyRing
from ossa.tenancy.keys import MintedKey, mint
from tests.support.clock import ManualClock

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class CountingKeys:
    """A key store that counts look-ups and can be away."""

    def __init__(self, minted: Sequence[MintedKey]) -> None:
        self.known = {one.secret_sha256: one.key for one in minted}
        self.finds = 0
        self.away = False

    async def add(self, key: ApiKey, *, secret_sha256: bytes) -> None:
        self.known[secret_sha256] = key

    async def find(self, secret_sha256: bytes) -> ApiKey | None:
        self.finds += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        return self.known.get(secret_sha256)

    async def keys(self, *, tenant: str | None = None) -> list[ApiKey]:
        return list(self.known.values())

    async def revoke(self, key_id: str, *, at: datetime, tenant: str | None = None) -> ApiKey:
        for found, key in self.known.items():
            if key.id == key_id:
                self.known[found] = key.model_copy(update={"revoked_at": at})
                return self.known[found]
        raise NotFound("absent")


@pytest.fixture
def minted() -> MintedKey:
    return mint(tenant="acme", name="ci", scopes=[Scope.CHAT], now=NOW)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(minted: MintedKey) -> CountingKeys:
    return CountingKeys([minted])


@pytest.fixture
def ring(store: CountingKeys, clock: ManualClock) -> KeyRing:
    return KeyRing(store, cache_s=2.0, clock=clock.monotonic, now=lambda: NOW)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_key_is_its_tenants_principal(ring: KeyRing, minted: MintedKey) -> None:
    principal = await ring.verify(minted.secret)
    assert principal.tenant == "acme"
    assert principal.allows(Scope.CHAT, operator_tenant="default")
    assert not principal.allows(Scope.ADMIN, operator_tenant="default")


async def test_a_checked_key_is_believed_for_a_while(ring: KeyRing, minted: MintedKey, store: CountingKeys) -> None:
    for _ in range(10):
        await ring.verify(minted.secret)
    assert store.finds == 1


async def test_many_first_requests_share_one_look_up(ring: KeyRing, minted: MintedKey, store: CountingKeys) -> None:
    await asyncio.gather(*(ring.verify(minted.secret) for _ in range(20)))
    assert store.finds == 1


async def test_a_revocation_is_felt_within_the_cache_time(
    ring: KeyRing, minted: MintedKey, store: CountingKeys, clock: ManualClock
) -> None:
    await ring.verify(minted.secret)
    await store.revoke(minted.key.id, at=NOW)
    clock.advance(2.01)
    with pytest.raises(Unauthenticated):
        await ring.verify(minted.secret)


async def test_a_busy_key_is_checked_again_beside_the_requests(
    ring: KeyRing, minted: MintedKey, store: CountingKeys, clock: ManualClock
) -> None:
    await ring.verify(minted.secret)
    clock.advance(1.5)
    await store.revoke(minted.key.id, at=NOW)
    await ring.verify(minted.secret)  # still believed; starts the check
    await settle()
    with pytest.raises(Unauthenticated):
        await ring.verify(minted.secret)


async def test_a_busy_key_survives_a_short_absence_of_the_store(
    ring: KeyRing, minted: MintedKey, store: CountingKeys, clock: ManualClock
) -> None:
    await ring.verify(minted.secret)
    store.away = True
    clock.advance(1.5)
    await ring.verify(minted.secret)
    await settle()
    await ring.verify(minted.secret)
    clock.advance(1.0)
    with pytest.raises(StoreUnavailable):
        await ring.verify(minted.secret)


async def test_unknown_keys_are_remembered_too(ring: KeyRing, store: CountingKeys) -> None:
    stranger = "ossa_sk_" + "x" * 43
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await ring.verify(stranger)
    assert store.finds == 1


async def test_a_key_created_after_a_miss_works_after_the_cache_time(
    ring: KeyRing, store: CountingKeys, clock: ManualClock
) -> None:
    late = mint(tenant="acme", name="late", scopes=[Scope.CHAT], now=NOW)
    with pytest.raises(Unauthenticated):
        await ring.verify(late.secret)
    await store.add(late.key, secret_sha256=late.secret_sha256)
    clock.advance(2.01)
    assert (await ring.verify(late.secret)).key_id == late.key.id


@pytest.mark.parametrize("secret", [None, "", "sk-123", "ossa_sk_short"])
async def test_what_is_no_key_never_reaches_the_store(ring: KeyRing, store: CountingKeys, secret: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await ring.verify(secret)
    assert store.finds == 0


async def test_an_expired_key_is_refused(clock: ManualClock) -> None:
    old = mint(tenant="acme", name="old", scopes=[Scope.CHAT], now=NOW, expires_at=NOW + timedelta(seconds=5))
    now = NOW
    ring = KeyRing(CountingKeys([old]), cache_s=60, clock=clock.monotonic, now=lambda: now)
    await ring.verify(old.secret)
    now = NOW + timedelta(seconds=6)
    with pytest.raises(Unauthenticated):
        await ring.verify(old.secret)
