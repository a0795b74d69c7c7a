"""One connection, and what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from ossa.contracts.errors import NotReady


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
