"""How this program reaches PostgreSQL: a session and its settings, a pool of them, and acts over that."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from ossa.contracts.configuration import Database
from ossa.contracts.errors import InvalidRequest, NotReady, StoreUnavailable
from ossa.resilience.backoff import Backoff
from ossa.stores.postgres.dsn import Dsn, read_dsn
from ossa.stores.postgres.failure import DRIVER_ERRORS, Remedy, reason, refused, remedy, translate
from ossa.stores.postgres.queries import load_queries


class Session(AsyncConnection[DictRow]):
    """A connection in autocommit mode, its rows dicts.

    Attributes:
        guarded: acts of one tenant run where row-level security holds (`ossa_tenant`).
        standby: its server follows another one.
    """

    guarded: bool = False
    standby: bool = False

    @property
    def place(self) -> str:
        """The server it is connected to."""
        return f"{self.info.host}:{self.info.port}"


Connect = Callable[[], Awaitable[Session]]


class Pool:
    """At most `size` connections, made when needed, kept until they fail or `close`."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(size)
        self._idle: list[Session] = []
        self._generation = 0
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Session]:
        """Waits for room; raises `NotReady` after `close`. A connection left inside a transaction is not used again."""
        async with self._room:
            if self._closed:
                raise NotReady("The store is closed.")
            generation = self._generation
            conn = self._idle.pop() if self._idle else await self._connect()
            try:
                yield conn
            except BaseException:
                await self._give_back(conn, generation, failed=True)
                raise
            await self._give_back(conn, generation, failed=False)

    async def forget(self, *, used: bool = False) -> None:
        """Close what is idle: the server went away, and took them along.

        Args:
            used: what is in use too, when it comes back: the server leads no more, and looks well all the same.
        """
        self._generation += used
        idle, self._idle = self._idle, []
        for conn in idle:
            await conn.close()

    async def close(self) -> None:
        """Connections in use are closed when they come back."""
        self._closed = True
        await self.forget()

    async def _give_back(self, conn: Session, generation: int, *, failed: bool) -> None:
        clean = not conn.closed and conn.info.transaction_status is TransactionStatus.IDLE
        old = self._closed or generation != self._generation
        if old or not clean or (failed and conn.broken):
            await conn.close()
        else:
            self._idle.append(conn)


logger = logging.getLogger(__name__)

Row = dict[str, Any]
Params = Mapping[str, Any]
T = TypeVar("T")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Server:
    """One PostgreSQL, or several members of which one leads, as a DSN names it.

    The DSN never shows in a repr, a log or an error.

    Args:
        dsn: one that is read already, or a text.
        replica: it may be a read-only one.
    """

    def __init__(self, dsn: str | Dsn, database: Database, *, replica: bool = False) -> None:
        if not dsn:
            raise InvalidRequest("There is no PostgreSQL DSN: set OSSA_DATABASE__DSN.", param="database.dsn")
        self.timeout_s = database.statement_timeout_s
        self.connect_timeout_s = database.connect_timeout_s
        self._dsn = read_dsn(dsn, database) if isinstance(dsn, str) else dsn
        self._replica = replica
        self._first = 0
        self._sql = load_queries("session.sql")
        self._settings = {
            "statement_timeout": _milliseconds(database.statement_timeout_s),
            "lock_timeout": _milliseconds(database.lock_timeout_s),
            "idle_in_transaction_session_timeout": _milliseconds(2 * database.statement_timeout_s),
            "timezone": "UTC",
            "jit": "off",
        }

    def __repr__(self) -> str:
        return f"Server({self.name})"

    @property
    def name(self) -> str:
        """For messages: every host and port, database and user."""
        return self._dsn.name

    async def connect(self) -> Session:
        """A ready session in autocommit mode. Raises `StoreUnavailable`.

        Of several members the one that took the last connection is tried first.
        """
        setting = "OSSA_DATABASE__REPLICA_DSN" if self._replica else "OSSA_DATABASE__DSN"
        try:
            async with asyncio.timeout(self.connect_timeout_s + 1):
                params = self._dsn.params(self._first)
                session: Session = await Session.connect(autocommit=True, row_factory=dict_row, **params)
                await self._configure(session)
        except DRIVER_ERRORS as error:
            raise refused(error, name=self.name, setting=setting) from error
        if session.standby and not self._replica:
            place = session.place
            await session.close()
            raise StoreUnavailable(
                f"PostgreSQL at {place} is a read-only replica: name every member in {setting}, with "
                "target_session_attrs=read-write.",
                retry_after_s=1.0,
            )
        self._remember(session)
        return session

    async def _configure(self, session: Session) -> None:
        params = {"names": list(self._settings), "values": list(self._settings.values())}
        try:
            row = await (await session.execute(self._sql["configure"], params)).fetchone()
        except BaseException:
            await session.close()
            raise
        assert row is not None
        session.standby, session.guarded = row["standby"], row["guarded"]

    def _remember(self, session: Session) -> None:
        """A member that is dead would cost each new connection its time-out."""
        for number, member in enumerate(self._dsn.members):
            if str(member) == session.place:
                self._first = number


class Reader:
    """Acts that may be done twice: reads, and writes that are idempotent by construction.

    They are tried again on a new connection until the statement timeout is over.

    Args:
        patient: False: they are not.
    """

    def __init__(self, server: Server, size: int, *, patient: bool = True) -> None:
        self._server = server
        self._patient = patient
        self._pool = Pool(server.connect, size)
        self._sql = load_queries("session.sql")

    async def close(self) -> None:
        await self._pool.close()

    async def run(self, action: Callable[[Session], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable`, or `InvalidRequest` for a value that cannot be kept."""
        deadline = monotonic() + self._server.timeout_s
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, jitter=0.5)
        while True:
            try:
                async with asyncio.timeout(deadline - monotonic()), self._pool.connection() as session:
                    return await action(session)
            except (*DRIVER_ERRORS, StoreUnavailable) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # the driver lost the connection while it gave up
                    raise asyncio.CancelledError from error
                cure = remedy(error)
                if cure is Remedy.RECONNECT:
                    await self._pool.forget(used=isinstance(error, psycopg.errors.ReadOnlySqlTransaction))
                again = self._patient and cure in (Remedy.RECONNECT, Remedy.REPEAT)
                pause = backoff.next_s()
                if not again or monotonic() + pause >= deadline:
                    raise translate(error) from error
                logger.warning("store_tried_again", extra={"reason": reason(error)})
            await asyncio.sleep(pause)

    async def rows(self, query: LiteralString, params: Params | None = None, *, tenant: str | None = None) -> list[Row]:
        """All rows; raises as `run`.

        Args:
            tenant: whose act it is: no row of another one is seen or written, whatever the query says. None: the
                runtime's own.
        """

        async def fetch(session: Session) -> list[Row]:
            return await self.fetch(session, query, params, tenant=tenant)

        return await self.run(fetch)

    async def fetch(
        self, session: Session, query: LiteralString, params: Params | None = None, *, tenant: str | None = None
    ) -> list[Row]:
        """On this session, in one round trip. Raises what the driver raises."""
        if tenant is None or not session.guarded:
            cursor = await session.execute(query, params, binary=True)
        else:
            # One implicit transaction, at whose end role and tenant are gone.
            async with session.pipeline():
                await session.execute(self._sql["as_tenant"], {"tenant": tenant})
                cursor = await session.execute(query, params, binary=True)
        return await cursor.fetchall() if cursor.description else []

    async def row(self, query: LiteralString, params: Params | None = None, *, tenant: str | None = None) -> Row | None:
        rows = await self.rows(query, params, tenant=tenant)
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, params: Params | None = None, *, tenant: str | None = None) -> None:
        await self.rows(query, params, tenant=tenant)


def _milliseconds(seconds: float) -> str:
    return str(math.ceil(seconds * 1000))
