"""What a fleet has from its first start on: a key to begin with, and an identity that lies in its store."""

from __future__ import annotations

import secrets
from pathlib import Path

from ossa.app.keys import first_key
from ossa.contracts.value import Value
from ossa.settings import Settings
from ossa.stores.postgres import PostgresStores


class Founding(Value):
    """`fleet_id` tells fleets with different stores apart, whatever they are called."""

    key_file: Path
    fleet_id: str


async def found(settings: Settings, dsn: str) -> Founding:
    """Opens the store, which brings its schema up to date. The same store answers the same."""
    stores = PostgresStores(settings.database, dsn)
    await stores.open()
    try:
        return Founding(
            key_file=await first_key(settings.home_dir, stores.keys),
            fleet_id=await stores.fleet.secret("fleet_id", secrets.token_hex(8)),
        )
    finally:
        await stores.close()
