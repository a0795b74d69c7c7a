"""An operator's acts on the database itself. Blocking."""

from __future__ import annotations

import asyncio

from ossa.contracts.configuration import Database
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.schema import Condition, condition, make_roles, migrate, roles_sql

__all__ = ["Condition", "check_database", "make_database_roles", "migrate_database", "roles_sql"]


def check_database(database: Database, dsn: str) -> Condition:
    """Raises `StoreUnavailable`, `InvalidRequest`."""
    return asyncio.run(condition(database, dsn))


def migrate_database(database: Database, dsn: str) -> list[str]:
    """Names of what was applied. Raises as `check_database`."""
    return [one.name for one in asyncio.run(migrate(Server(dsn, database)))]


def make_database_roles(database: Database, admin_dsn: str) -> None:
    """Raises as `check_database`."""
    asyncio.run(make_roles(database, admin_dsn))
