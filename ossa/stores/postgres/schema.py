"""A database's schema and roles: brought up to this program's, one process at a time, and looked at."""

from __future__ import annotations

import asyncio
import logging
from importlib import resources
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.value import Value
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.failure import DRIVER_ERRORS, reason, translate
from ossa.stores.postgres.migrations import Migration, load_migrations
from ossa.stores.postgres.queries import load_queries

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
"""Makes the owner of the schema own what a migration creates, whichever of its members migrates."""


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


class Condition(Value):
    """The state of a database, and the rights of the user that asked.

    Attributes:
        unguarded: tables with rows of tenants that no policy guards, or whose rules this user is free of while it
            cannot take on `ossa_tenant`.
        faults: sentences, each with what to do.
    """

    server: str
    version: int
    known: int
    tls: bool
    standby: bool
    superuser: bool
    owner: bool
    guarded: bool
    unguarded: tuple[str, ...]
    connections: int
    faults: tuple[str, ...] = ()


async def condition(database: Database, dsn: str) -> Condition:
    """Raises `StoreUnavailable`, `InvalidRequest`."""
    server = Server(dsn, database, replica=True)
    session = await server.connect()
    try:
        version = await schema_version(session)
        cursor = await session.execute(load_queries("session.sql")["condition"])
        row = await cursor.fetchone()
    except DRIVER_ERRORS as error:
        raise translate(error) from error
    finally:
        await session.close()
    assert row is not None
    found = Condition(
        server=server.name, version=version, known=load_migrations()[-1].version, guarded=session.guarded, **row
    )
    return found.model_copy(update={"faults": tuple(_faults(found, row, database))})


def _faults(found: Condition, row: dict[str, Any], database: Database) -> list[str]:
    faults = []
    if found.standby:
        faults.append("It is a read-only replica: name every member, with target_session_attrs=read-write.")
    if found.version < found.known:
        faults.append(f"The schema is version {found.version} of {found.known}: run `ossa database migrate`.")
    if found.version > found.known:
        faults.append(f"The schema is version {found.version}, this program knows {found.known}: upgrade ossa-on-ray.")
    if found.version and not found.guarded:
        faults.append(
            "This user cannot take on the role ossa_tenant, so that only the program's own WHERE keeps tenants apart: "
            "run `ossa database roles --admin-dsn DSN`."
        )
    if found.unguarded:
        faults.append(f"No policy guards {', '.join(found.unguarded)}: run `ossa database roles --admin-dsn DSN`.")
    if found.connections < database.pool_total:
        faults.append(
            f"It takes {found.connections} connections, OSSA_DATABASE__POOL_TOTAL is {database.pool_total}: raise "
            "max_connections, or lower that."
        )
    return faults
