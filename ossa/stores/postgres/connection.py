"""How this program reaches PostgreSQL: the DSN, session settings, one connection, and a pool of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest, StoreUnavailable
from ossa.stores.postgres.failure import DRIVER_ERRORS, Remedy, reason, remedy, translate
from ossa.stores.postgres.pool import Pool

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Params = Mapping[str, Any]
T = TypeVar("T")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Server:
    """One PostgreSQL, as its DSN names it. The DSN never shows in a repr, a log or an error."""

    def __init__(self, dsn: str, database: Database) -> None:
        if not dsn:
            raise InvalidRequest("There is no PostgreSQL DSN: set OSSA_DATABASE__DSN.", param="database.dsn")
        self.timeout_s = database.statement_timeout_s
        self.connect_timeout_s = database.connect_timeout_s
        self._conninfo = _complete(dsn, database)
        self._settings = {
            "statement_timeout": f"{math.ceil(database.statement_timeout_s * 1000)}",
            "idle_in_transaction_session_timeout": f"{math.ceil(database.statement_timeout_s * 2000)}",
            "timezone": "UTC",
            "jit": "off",
        }

    def __repr__(self) -> str:
        return f"Server({self.name})"

    @property
    def name(self) -> str:
        """For messages: host, port, database and user."""
        info = conninfo_to_dict(self._conninfo)
        place = f"{info.get('host') or 'localhost'}:{info.get('port') or 5432}"
        return f"{place}/{info.get('dbname') or ''} as {info.get('user') or 'the default user'}"

    async def connect(self) -> AsyncConnection[DictRow]:
        """A ready session in autocommit mode. Raises `StoreUnavailable`."""
        try:
            async with asyncio.timeout(self.connect_timeout_s + 1):
                conn = await AsyncConnection.connect(self._conninfo, autocommit=True, row_factory=dict_row)
                await self._configure(conn)
                return conn
        except DRIVER_ERRORS as error:
            said = "it did not answer in time" if isinstance(error, TimeoutError) else reason(error)
            raise StoreUnavailable(f"No connection to PostgreSQL at {self.name}: {said}", retry_after_s=1.0) from error

    async def _configure(self, conn: AsyncConnection[DictRow]) -> None:
        names, values = list(self._settings), list(self._settings.values())
        await conn.execute(
            "SELECT set_config(s.name, s.value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
            (names, values),
        )


class Reader:
    """Acts that may be done twice: reads, and writes that are idempotent by construction.

    They are tried again on a new connection until the statement timeout is over.
    """

    def __init__(self, server: Server, size: int) -> None:
        self._server = server
        self._pool = Pool(server.connect, size)

    async def close(self) -> None:
        await self._pool.close()

    async def run(self, action: Callable[[AsyncConnection[DictRow]], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable`, or `InvalidRequest` for a value that cannot be kept."""
        deadline = monotonic() + self._server.timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(deadline - monotonic()), self._pool.connection() as conn:
                    return await action(conn)
            except (*DRIVER_ERRORS, StoreUnavailable) as error:
                found = remedy(error)
                if found not in (Remedy.RECONNECT, Remedy.REPEAT) or monotonic() + pause >= deadline:
                    raise translate(error) from error
                logger.warning("store_tried_again", extra={"reason": reason(error)})
                if found is Remedy.RECONNECT:
                    await self._pool.forget()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def rows(self, query: LiteralString, params: Params | None = None) -> list[Row]:
        """All rows; raises as `run`."""

        async def fetch(conn: AsyncConnection[DictRow]) -> list[Row]:
            cursor = await conn.execute(query, params, binary=True)
            return await cursor.fetchall() if cursor.description else []

        return await self.run(fetch)

    async def row(self, query: LiteralString, params: Params | None = None) -> Row | None:
        found = await self.rows(query, params)
        return found[0] if found else None

    async def execute(self, query: LiteralString, params: Params | None = None) -> None:
        await self.rows(query, params)


def _complete(dsn: str, database: Database) -> str:
    wait_ms = math.ceil(database.statement_timeout_s * 1000)
    defaults: dict[str, Any] = {
        "application_name": "ossa",
        "connect_timeout": max(2, math.ceil(database.connect_timeout_s)),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": wait_ms,
    }
    try:
        return make_conninfo(dsn, **{**defaults, **conninfo_to_dict(dsn)})
    except (psycopg.Error, ValueError):
        # The driver quotes the part it did not understand, which may be the password.
        raise InvalidRequest(
            "The PostgreSQL DSN cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
            param="database.dsn",
        ) from None
