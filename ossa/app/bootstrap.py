"""Creates what a fleet has from its first start on: an API key to begin with, and an identity kept in its store."""

from __future__ import annotations

import secrets
from pathlib import Path

from ossa.app.keys import first_key
from ossa.contracts.value import Value
from ossa.settings import Settings
from ossa.stores.postgres import PostgresStores


class Bootstrapped(Value):
    """`fleet_id` tells fleets with different stores apart, whatever their names are."""

    key_file: Path
    fleet_id: str


async def bootstrap(settings: Settings, dsn: str) -> Bootstrapped:
    """Opens the store, which brings its schema up to date, and creates the key and the identity unless they exist."""
    stores = PostgresStores(settings.database, dsn)
    await stores.open()
    try:
        return Bootstrapped(
            key_file=await first_key(settings.home_dir, stores.keys),
            fleet_id=await stores.fleet.secret("fleet_id", secrets.token_hex(8)),
        )
    finally:
        await stores.close()
