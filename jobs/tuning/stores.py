"""The stores and the Ray cluster as a job uses them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
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


ROOT = Path(__file__).resolve().parents[2]


def start_ray(cpus: int) -> None:
    """The Ray of `RAY_ADDRESS` (a job has it), else one of its own."""
    from ossa.app.local_ray import ensure_ray_token

    ensure_ray_token()
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        paths = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
        # "local": without it Ray would join whatever cluster runs on this machine.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, runtime_env=paths)
