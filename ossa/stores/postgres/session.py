"""One connection, and what is known of it."""

from __future__ import annotations

from psycopg import AsyncConnection
from psycopg.rows import DictRow


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
