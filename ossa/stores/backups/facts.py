"""What a running PostgreSQL says of itself, for backups."""

from __future__ import annotations

from datetime import datetime

from ossa.stores.backups import wal
from ossa.stores.backups.restored import connected, schema_version


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
