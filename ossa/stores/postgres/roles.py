"""The roles of a database, made by an administrator."""

from __future__ import annotations

from importlib import resources

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.failure import DRIVER_ERRORS, reason
from ossa.stores.postgres.schema import LOCK


def roles_sql() -> str:
    """For an administrator who runs it by other means."""
    return (resources.files(__package__ or "") / "roles.sql").read_text("utf-8")


async def make_roles(database: Database, admin_dsn: str) -> None:
    """Roles, ownership, grants and policies, all or nothing. Raises `StoreUnavailable`, `InvalidRequest`."""
    server = Server(admin_dsn, database)
    session = await server.connect()
    try:
        async with session.transaction():
            await session.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            await session.execute(roles_sql().encode())
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(f"The roles at {server.name} could not be made: {reason(error)}") from error
    finally:
        await session.close()
