"""What of a database is as it should be: for `ossa database check`."""

from __future__ import annotations

from typing import Any

from ossa.contracts.configuration import Database
from ossa.contracts.value import Value
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.failure import DRIVER_ERRORS, translate
from ossa.stores.postgres.migrations import load_migrations
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.schema import schema_version


class Condition(Value):
    """Of a database and of the user that asked.

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
