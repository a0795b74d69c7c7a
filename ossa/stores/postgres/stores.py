"""Journal, keys, fleet, budgets and originals in one PostgreSQL."""

from __future__ import annotations

import logging

from ossa.contracts.configuration import Database, EventSettings
from ossa.stores.postgres.agent_history import PostgresAgentHistory
from ossa.stores.postgres.budgets import PostgresBudgets, PostgresSpending
from ossa.stores.postgres.connection import Reader, Server, Session
from ossa.stores.postgres.dsn import replica_dsn
from ossa.stores.postgres.facts import PostgresFacts, PostgresProcessed
from ossa.stores.postgres.fleet import PostgresFleet, PostgresScaling
from ossa.stores.postgres.journal import PostgresHistory, PostgresJournal
from ossa.stores.postgres.keys import PostgresKeys
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.memory import PostgresCatalogue
from ossa.stores.postgres.originals import PostgresOriginals
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.routing import PostgresRouting
from ossa.stores.postgres.schema import migrate

logger = logging.getLogger(__name__)

_LANES = 2

LEAST_CONNECTIONS = _LANES + 1
"""Connections that a process needs at least."""

_REPLICA_CONNECT_S = 2.0
"""A replica that does not answer is passed over soon."""


class PostgresStores:
    """`ossa.contracts.stores.Stores`. Open it in the process and event loop that use it.

    Args:
        database: limits; `pool_max` connections at most, the journal's two writers included (three at least).
        dsn: in place of `database.dsn`, for the embedded server.
        events: the source under which facts are told.
        tells: False tells no facts of tasks, to measure what they cost.

    Lists and reports come from `database.replica_dsn` while that is near enough, over as many connections to it as
    there are to the primary for reading. Raises `InvalidRequest` for a DSN that cannot be read.
    """

    def __init__(
        self, database: Database, dsn: str | None = None, *, events: EventSettings | None = None, tells: bool = True
    ) -> None:
        events = events or EventSettings()
        dsn = dsn or database.dsn.get_secret_value()
        readers = max(1, database.pool_max - _LANES)
        self._server = Server(dsn, database)
        self._reader = Reader(self._server, readers)
        self.lists = Lists(self._reader, _replica(database, dsn, readers), bound_s=database.replica_lag_s)
        """Reads that tolerate lag, and where they went."""
        self.facts = PostgresFacts(self._reader, source=events.source, topic=events.topic)
        self.processed = PostgresProcessed(self._reader)
        on_committed = self.facts.on_committed if tells else None
        self.journal = PostgresJournal(
            self._server, self._reader, self.lists, database, lanes=_LANES, on_committed=on_committed
        )
        self.keys = PostgresKeys(self._reader)
        self.fleet = PostgresFleet(self._reader, self.lists)
        self.originals = PostgresOriginals(self._reader)
        self.routing = PostgresRouting(self._reader, self.lists)
        self.budgets = PostgresBudgets(self._reader)
        self.spending = PostgresSpending(self._reader, self.lists)
        self.scaling = PostgresScaling(self._reader, self.lists)
        self.memory = PostgresCatalogue(self._reader)
        self.history = PostgresHistory(self._reader)
        self.agent_history = PostgresAgentHistory(self._reader)

    def __repr__(self) -> str:
        return f"PostgresStores({self._server.name})"

    async def open(self) -> None:
        """Raises `StoreUnavailable`: no connection, a newer schema, an old server, a read-only replica."""
        await migrate(self._server)
        await self._reader.execute(load_queries("journal.sql")["forget_dispatchers"])
        if not await self._reader.run(_is_guarded):
            logger.warning("tenant_rows_unguarded", extra={"run": "ossa database roles --admin-dsn DSN"})

    async def close(self) -> None:
        await self.journal.close()
        await self.facts.close()
        await self.lists.close()
        await self._reader.close()


async def _is_guarded(session: Session) -> bool:
    return session.guarded


def _replica(database: Database, dsn: str, connections: int) -> Reader | None:
    found = replica_dsn(database, dsn)
    if found is None:
        return None
    short = database.model_copy(update={"connect_timeout_s": min(database.connect_timeout_s, _REPLICA_CONNECT_S)})
    return Reader(Server(found, short, replica=True), connections, patient=False)
