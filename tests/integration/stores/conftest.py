"""A PostgreSQL of Debian's in a folder of its own, where the runtime's user is no superuser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.services import Address, Services


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    services = Services(tmp_path_factory.mktemp("debian"))
    missing = services.missing("postgres")
    if missing:
        pytest.skip(f"left out, not installed: {'; '.join(missing)} (make services)")
    yield services.start("postgres")
    services.erase()
