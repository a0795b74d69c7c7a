"""What `ossa.contracts.compression.OriginalStore` promises, of every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize("content", ["plain", "", "nul \x00 inside", "lone \ud800 surrogate", "ünïcode 🔥 " * 1000])
async def test_any_text_comes_back_as_it_was(stores: Any, content: str) -> None:
    await stores.originals.put("vx:a", content, tenant="acme", expires_at=LATER)
    assert await stores.originals.get("vx:a", tenant="acme", now=NOW) == content


async def test_a_tenant_sees_its_own_alone(stores: Any) -> None:
    await stores.originals.put("vx:a", "ours", tenant="acme", expires_at=LATER)
    assert await stores.originals.get("vx:a", tenant="other", now=NOW) is None
    await stores.originals.put("vx:a", "theirs", tenant="other", expires_at=LATER)
    assert await stores.originals.get("vx:a", tenant="acme", now=NOW) == "ours"


async def test_it_ends_with_its_lifetime_and_the_later_of_two_counts(stores: Any) -> None:
    await stores.originals.put("vx:a", "text", tenant="acme", expires_at=LATER)
    await stores.originals.put("vx:a", "text", tenant="acme", expires_at=NOW)
    assert await stores.originals.get("vx:a", tenant="acme", now=NOW) == "text"
    assert await stores.originals.get("vx:a", tenant="acme", now=LATER) is None


async def test_what_is_too_old_is_swept_and_nothing_else(stores: Any) -> None:
    await stores.originals.put("vx:old", "text", tenant="acme", expires_at=NOW)
    await stores.originals.put("vx:new", "text", tenant="acme", expires_at=LATER)
    assert await stores.originals.sweep(now=NOW) >= 1
    assert await stores.originals.sweep(now=NOW) == 0
    assert await stores.originals.get("vx:new", tenant="acme", now=NOW) == "text"


async def test_an_unknown_handle_is_none(stores: Any) -> None:
    assert await stores.originals.get("vx:nothing", tenant="acme", now=NOW) is None
