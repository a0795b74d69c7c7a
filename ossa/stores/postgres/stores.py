"""Journal, keys, fleet, budgets and originals in one PostgreSQL."""

from __future__ import annotations

from ossa.contracts.configuration import Database, EventSettings
from ossa.stores.postgres.budgets import PostgresBudgets
from ossa.stores.postgres.connection import Reader, Server
from ossa.stores.postgres.fleet import PostgresFleet
from ossa.stores.postgres.journal import PostgresJournal
from ossa.stores.postgres.keys import PostgresKeys
from ossa.stores.postgres.memory import PostgresCatalogue
from ossa.stores.postgres.originals import PostgresOriginals
from ossa.stores.postgres.outbox import PostgresOutbox, PostgresProcessed
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.routing import PostgresRouting
from ossa.stores.postgres.scaling import PostgresScaling
from ossa.stores.postgres.schema import migrate
from ossa.stores.postgres.spending import PostgresSpending

_LANES = 2


class PostgresStores:
    """`ossa.contracts.stores.Stores`. Open it in the process and event loop that use it.

    Args:
        database: limits; `pool_max` connections at most, the journal's two writers included (three at least).
        dsn: in place of `database.dsn`, for the embedded server.
        events: whether the journal tells the outbox what it writes, and under which source.

    Raises `InvalidRequest` for a DSN that cannot be read.
    """

    def __init__(self, database: Database, dsn: str | None = None, *, events: EventSettings | None = None) -> None:
        events = events or EventSettings()
        self._server = Server(dsn or database.dsn.get_secret_value(), database)
        self._reader = Reader(self._server, max(1, database.pool_max - _LANES))
        self._outbox = PostgresOutbox(self._server, self._reader, source=events.source)
        self._processed = PostgresProcessed(self._reader)
        told = self._outbox.told if events.telling else None
        self._journal = PostgresJournal(self._server, self._reader, database, lanes=_LANES, told=told)
        self._keys = PostgresKeys(self._reader)
        self._fleet = PostgresFleet(self._reader)
        self._originals = PostgresOriginals(self._reader)
        self._routing = PostgresRouting(self._reader)
        self._budgets = PostgresBudgets(self._reader)
        self._spending = PostgresSpending(self._reader)
        self._scaling = PostgresScaling(self._reader)
        self._memory = PostgresCatalogue(self._reader)

    def __repr__(self) -> str:
        return f"PostgresStores({self._server.name})"

    @property
    def journal(self) -> PostgresJournal:
        return self._journal

    @property
    def keys(self) -> PostgresKeys:
        return self._keys

    @property
    def fleet(self) -> PostgresFleet:
        return self._fleet

    @property
    def budgets(self) -> PostgresBudgets:
        return self._budgets

    @property
    def spending(self) -> PostgresSpending:
        return self._spending

    @property
    def originals(self) -> PostgresOriginals:
        return self._originals

    @property
    def routing(self) -> PostgresRouting:
        return self._routing

    @property
    def outbox(self) -> PostgresOutbox:
        return self._outbox

    @property
    def processed(self) -> PostgresProcessed:
        return self._processed

    @property
    def scaling(self) -> PostgresScaling:
        return self._scaling

    @property
    def memory(self) -> PostgresCatalogue:
        return self._memory

    async def open(self) -> None:
        """Raises `StoreUnavailable`: no connection, a newer schema, an old server."""
        await migrate(self._server)
        await self._reader.execute(load_queries("journal.sql")["forget_dispatchers"])

    async def close(self) -> None:
        await self._journal.close()
        await self._reader.close()
