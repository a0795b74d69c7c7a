"""A fresh fleet comes with one key, and keeps it."""

import stat
from datetime import UTC, datetime
from pathlib import Path

from ossa.app.bootstrap import first_key
from ossa.contracts.access import Scope
from ossa.tenancy.keys import digest
from ossa.testing.stores import MemoryStores


async def test_the_key_works_and_is_private(tmp_path: Path) -> None:
    keys = MemoryStores().keys
    path = await first_key(tmp_path, keys)
    known = await keys.find(digest(path.read_text().strip()))
    assert known is not None
    assert known.scopes == (Scope.ADMIN,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_second_start_keeps_it(tmp_path: Path) -> None:
    keys = MemoryStores().keys
    first = (await first_key(tmp_path, keys)).read_text()
    assert (await first_key(tmp_path, keys)).read_text() == first
    assert len(await keys.keys()) == 1


async def test_a_revoked_or_unknown_key_is_replaced(tmp_path: Path) -> None:
    keys = MemoryStores().keys
    first = (await first_key(tmp_path, keys)).read_text()
    known = await keys.find(digest(first.strip()))
    assert known is not None
    await keys.revoke(known.id, at=datetime.now(UTC))
    second = (await first_key(tmp_path, keys)).read_text()
    assert second != first
    third = (await first_key(tmp_path, MemoryStores().keys)).read_text()
    assert third != second
