"""Bring a database's schema up to this program's, one process at a time."""

from __future__ import annotations

import asyncio
import logging

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.errors import StoreUnavailable
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.failure import DRIVER_ERRORS, reason
from ossa.stores.postgres.migrations import Migration, load_migrations

logger = logging.getLogger(__name__)

LOCK = 0x6F737361  # "ossa"
"""Held by who changes the schema or its roles."""
_LONGEST_S = 120
_OLDEST_SERVER = 150000
_GUARDED_FROM = 10
"""The migration that brought `ossa.guard`."""

_TAKE_OWNER = """
SELECT set_config('role', o.rolname, true)
FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
WHERE n.nspname = 'ossa' AND o.rolname <> current_user AND pg_has_role(o.oid, 'MEMBER')
"""
"""What a migration makes belongs to who owns the schema, whoever of its members migrates."""


async def migrate(server: Server, migrations: list[Migration] | None = None) -> list[Migration]:
    """Apply what is missing, all or nothing; returns what was applied.

    Others wait meanwhile. Raises `StoreUnavailable` when the database cannot be reached, is older than PostgreSQL 15,
    its schema is newer than this program, or older and this user may not change it.
    """
    migrations = load_migrations() if migrations is None else migrations
    conn = await server.connect()
    try:
        async with asyncio.timeout(_LONGEST_S):
            if conn.info.server_version < _OLDEST_SERVER:
                raise StoreUnavailable(f"PostgreSQL at {server.name} is too old; OSSA needs version 15 or newer.")
            if not _missing(await schema_version(conn), migrations):
                return []
            return await _apply(conn, migrations)
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreUnavailable(
            f"The schema at {server.name} is older than this program, and this user may not change it: "
            f"{reason(error)}. Run `ossa database migrate --dsn DSN` as its owner, then start again."
        ) from error
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(f"The schema at {server.name} could not be brought up: {reason(error)}") from error
    finally:
        await conn.close()


async def _apply(conn: AsyncConnection[DictRow], migrations: list[Migration]) -> list[Migration]:
    async with conn.transaction():
        await conn.execute(
            "SELECT set_config('statement_timeout', %(most)s, true), set_config('lock_timeout', %(most)s, true)",
            {"most": f"{_LONGEST_S}s"},
        )
        await conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        missing = _missing(await schema_version(conn), migrations)
        await conn.execute(_TAKE_OWNER)
        for migration in missing:
            if migration.version == 1:
                await _begin(conn)
            await conn.execute(migration.sql)
            await conn.execute(
                "INSERT INTO ossa.migrations (version, name) VALUES (%s, %s)", (migration.version, migration.name)
            )
            logger.info("schema_migrated", extra={"version": migration.version, "migration": migration.name})
        if missing and missing[-1].version >= _GUARDED_FROM:
            await conn.execute("SELECT ossa.guard()")
        return missing


async def _begin(conn: AsyncConnection[DictRow]) -> None:
    await conn.execute("CREATE SCHEMA IF NOT EXISTS ossa")
    await conn.execute(
        "CREATE TABLE ossa.migrations "
        "(version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


async def schema_version(conn: AsyncConnection[DictRow]) -> int:
    """0: there is none. Raises what the driver raises."""
    # By the catalogue itself: to_regclass may answer from a cache that does not know what another just committed.
    cursor = await conn.execute(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'ossa' AND c.relname = 'migrations') AS known"
    )
    row = await cursor.fetchone()
    if row is None or not row["known"]:
        return 0
    cursor = await conn.execute("SELECT coalesce(max(version), 0) AS version FROM ossa.migrations")
    row = await cursor.fetchone()
    return int(row["version"]) if row else 0


def _missing(version: int, migrations: list[Migration]) -> list[Migration]:
    known = migrations[-1].version if migrations else 0
    if version > known:
        raise StoreUnavailable(
            f"The database's schema is version {version}, this program knows up to {known}: upgrade ossa-on-ray, or "
            "name another database in OSSA_DATABASE__DSN."
        )
    return migrations[version:]
