"""What `ossa.contracts.stores.KeyStore` promises, of every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ossa.contracts.access import ApiKey, Scope
from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.stores import Stores

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)


def key(key_id: str = "key_1", tenant: str = "acme") -> ApiKey:
    return ApiKey(
        id=key_id,
        tenant=tenant,
        name="laptop",
        scopes=(Scope.CHAT, Scope.TASKS),
        prefix="ossa_sk_abc",
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


async def test_a_key_is_found_by_the_hash_of_its_secret(stores: Stores) -> None:
    await stores.keys.add(key(), secret_sha256=b"\0" * 32)
    assert await stores.keys.find(b"\0" * 32) == key()
    assert await stores.keys.find(b"\1" * 32) is None


async def test_keys_are_listed_by_tenant(stores: Stores) -> None:
    await stores.keys.add(key("key_1", "acme"), secret_sha256=b"1" * 32)
    await stores.keys.add(key("key_2", "other"), secret_sha256=b"2" * 32)
    assert [k.id for k in await stores.keys.keys()] == ["key_1", "key_2"]
    assert [k.id for k in await stores.keys.keys(tenant="other")] == ["key_2"]


async def test_an_id_or_a_secret_is_used_once(stores: Stores) -> None:
    await stores.keys.add(key("key_1"), secret_sha256=b"1" * 32)
    await stores.keys.add(key("key_1"), secret_sha256=b"1" * 32)
    with pytest.raises(Conflict):
        await stores.keys.add(key("key_1"), secret_sha256=b"2" * 32)
    with pytest.raises(Conflict):
        await stores.keys.add(key("key_2"), secret_sha256=b"1" * 32)
    assert len(await stores.keys.keys()) == 1


async def test_revoking_twice_keeps_the_first_time(stores: Stores) -> None:
    await stores.keys.add(key(), secret_sha256=b"1" * 32)
    revoked = await stores.keys.revoke("key_1", at=NOW)
    assert revoked.revoked_at == NOW
    assert await stores.keys.revoke("key_1", at=NOW + timedelta(hours=1)) == revoked
    assert await stores.keys.find(b"1" * 32) == revoked


async def test_another_tenants_key_cannot_be_revoked(stores: Stores) -> None:
    await stores.keys.add(key(), secret_sha256=b"1" * 32)
    with pytest.raises(NotFound):
        await stores.keys.revoke("key_1", at=NOW, tenant="other")
    with pytest.raises(NotFound):
        await stores.keys.revoke("key_2", at=NOW)
    found = await stores.keys.find(b"1" * 32)
    assert found is not None
    assert found.revoked_at is None
