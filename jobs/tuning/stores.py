"""The stores as a job uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ossa.embedded.postgres import EmbeddedPostgres
from ossa.settings import Settings
from ossa.stores.postgres import PostgresStores

T = TypeVar("T")


class JobStores:
    """The configured PostgreSQL, or the embedded one of this home; opened anew for each call: between two lie hours."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ask(self, action: Callable[[PostgresStores], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable`, and what `action` raises."""
        from ossa.app.services import POSTGRES_DIR

        dsn = self._settings.database.dsn.get_secret_value()
        if dsn:
            return asyncio.run(self._ask(dsn, action))
        server = EmbeddedPostgres(self._settings.home_dir / POSTGRES_DIR)
        began = not server.running
        dsn = server.start()
        try:
            return asyncio.run(self._ask(dsn, action))
        finally:
            if began:
                server.stop()

    async def _ask(self, dsn: str, action: Callable[[PostgresStores], Awaitable[T]]) -> T:
        stores = PostgresStores(self._settings.database, dsn)
        await stores.open()
        try:
            return await action(stores)
        finally:
            await stores.close()
