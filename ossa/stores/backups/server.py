"""Questions to a PostgreSQL that is backed up, and reads and writes of a restored one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from ossa.contracts.backups import ColdRow
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Fact
from ossa.stores import fact_bodies
from ossa.stores.backups import wal
from ossa.stores.objects.memory import object_path

SKIPPED_FENCES = 1_000_000_000
"""More than were given between the time that was restored and the failure."""


class RestoredPostgres:
    """`ossa.contracts.backups.RestoredStore`."""

    def schema_version(self, dsn: str) -> int:
        with connected(dsn) as connection:
            return schema_version(connection)

    def rows(self, dsn: str) -> dict[str, int]:
        with connected(dsn) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'ossa' ORDER BY 1"
            ).fetchall()
            counting = sql.SQL("SELECT count(t.*) FROM ossa.{} t")
            counts = {name: connection.execute(counting.format(sql.Identifier(name))).fetchone() for (name,) in tables}
        return {name: row[0] if row else 0 for name, row in counts.items()}

    def last_commit(self, dsn: str) -> datetime | None:
        with connected(dsn) as connection:
            row = connection.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
        return row[0] if row else None

    def cold(self, dsn: str) -> list[ColdRow]:
        with connected(dsn) as connection:
            if not _has_memory(connection):
                return []
            rows = connection.execute(
                "SELECT tenant, subject, id, stored FROM ossa.memory_items WHERE stored IS NOT NULL"
            )
            return [
                ColdRow(tenant=tenant, id=id, path=object_path(tenant, subject, id, fence=stored))
                for tenant, subject, id, stored in rows
            ]

    def renew(self, dsn: str) -> int:
        """No version and no fence is ever given twice: copies of what was lost may be left somewhere."""
        with connected(dsn) as connection, connection.transaction():
            if not _has_memory(connection):
                return 0
            connection.execute(
                "SELECT setval('ossa.memory_fences', nextval('ossa.memory_fences') + %s)", (SKIPPED_FENCES,)
            )
            return reindex(connection)

    def tell(self, dsn: str, facts: Sequence[Fact]) -> None:
        tell(dsn, facts)


def tell(dsn: str, facts: Sequence[Fact]) -> None:
    """Writes facts into a server's log, where its schema has one. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, connection.transaction():
        if _has(connection, "facts"):
            for fact in facts:
                connection.execute(
                    "SELECT ossa.tell(%s, %s, 1, %s)", (fact.tenant, fact.key, fact_bodies.of_fact(fact).decode())
                )


def reindex(connection: psycopg.Connection[Any]) -> int:
    """Every memory that is found by its meaning is untidy: the next sweeps make its vector. How many."""
    return connection.execute("UPDATE ossa.memory_items SET untidy = true WHERE content IS NOT NULL").rowcount


def mark_all(dsn: str) -> int:
    """`reindex` of a running fleet. Raises `StoreUnavailable`."""
    with connected(dsn) as connection, connection.transaction():
        return reindex(connection) if _has_memory(connection) else 0


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Raises `StoreUnavailable` for what PostgreSQL says."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.Error as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise StoreUnavailable(f"PostgreSQL refused: {said[0]}") from error


def schema_version(connection: psycopg.Connection[Any]) -> int:
    """0 where there is no schema."""
    if not _has(connection, "migrations"):
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM ossa.migrations").fetchone()
    return int(row[0]) if row else 0


def _has_memory(connection: psycopg.Connection[Any]) -> bool:
    return _has(connection, "memory_items")


def _has(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (f"ossa.{table}",)).fetchone()
    return row is not None and row[0] is not None


def server_facts(dsn: str) -> tuple[datetime, int, str, int]:
    """The server's time, version and identity, and the schema's version. Raises `StoreUnavailable`."""
    with connected(dsn) as connection:
        row = connection.execute(
            "SELECT clock_timestamp(), current_setting('server_version_num')::int, system_identifier::text "
            "FROM pg_control_system()"
        ).fetchone()
        assert row is not None
        return (*row, schema_version(connection))


def finish_segment(dsn: str) -> tuple[str, int]:
    """End the segment that is written to: the last one that is finished, and how large one is.

    Where nothing was written since, that is the one before.
    """
    with connected(dsn) as connection:
        row = connection.execute(
            "SELECT (pg_switch_wal() - '0/0'::pg_lsn)::bigint, "
            "(SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')"
        ).fetchone()
        current = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
    assert row is not None and current is not None
    end, size = row
    return wal.segment_name(int(current[0][:8], 16), (end - 1) // size, size), size


def write_wal(dsn: str) -> None:
    """A record that says nothing, so that the segment after the last one has begun."""
    with connected(dsn) as connection:
        connection.execute("SELECT pg_logical_emit_message(true, 'ossa', '')")


def is_handed_over(dsn: str, segment: str) -> bool:
    """Whether the server says that it has archived all up to a segment of its timeline."""
    with connected(dsn) as connection:
        row = connection.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
    return row is not None and row[0] is not None and row[0][:24] >= segment


def slot_is_active(dsn: str, name: str) -> bool:
    """Whether somebody receives WAL by it."""
    with connected(dsn) as connection:
        row = connection.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (name,)).fetchone()
    return row is not None and bool(row[0])
