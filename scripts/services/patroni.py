"""The configuration of one Patroni."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.services.postgres import ACCESS, ADMIN, SAFE
from scripts.services.service import HOST

REPLICATOR = "replicator"
REWINDER = "rewinder"

# A member that hangs is given up after 20 s. One whose server died is given up at once: no wait for its recovery.
_TTL_S = 20
_LOOP_S = 2
_RETRY_S = 5
_START_S = 0
_MAX_LAG_BYTES = 2**20


def patroni_configuration(
    name: str, *, sql_port: int, rest_port: int, etcd: list[str], password: str, data: Path, programs: Path
) -> dict[str, Any]:
    """`data` is the folder of all members' data; `etcd` has `host:port` of each."""
    return {
        "scope": "ossa",
        "name": name,
        "restapi": {
            "listen": f"{HOST}:{rest_port}",
            "connect_address": f"{HOST}:{rest_port}",
            "authentication": {"username": "ossa", "password": password},
        },
        "etcd3": {"hosts": etcd},
        "watchdog": {"mode": "off"},
        "bootstrap": {
            "dcs": _agreed(),
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "scram-sha-256"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"{HOST}:{sql_port}",
            "connect_address": f"{HOST}:{sql_port}",
            "data_dir": str(data / name),
            "bin_dir": str(programs),
            "pgpass": str(data / f"{name}.pgpass"),
            "authentication": {
                "superuser": {"username": ADMIN, "password": password},
                "replication": {"username": REPLICATOR, "password": password},
                "rewind": {"username": REWINDER, "password": password},
            },
            "pg_hba": [*ACCESS, f"host replication {REPLICATOR} {HOST}/32 scram-sha-256"],
            "parameters": {name: value for name, value in SAFE.items() if name != "max_connections"},
        },
    }


def _agreed() -> dict[str, Any]:
    """What all members share; kept in etcd."""
    return {
        "ttl": _TTL_S,
        "loop_wait": _LOOP_S,
        "retry_timeout": _RETRY_S,
        "primary_start_timeout": _START_S,
        "maximum_lag_on_failover": _MAX_LAG_BYTES,
        "synchronous_mode": True,
        "failsafe_mode": True,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "remove_data_directory_on_rewind_failure": True,
            "parameters": {"max_connections": SAFE["max_connections"], "max_wal_senders": 10, "wal_log_hints": "on"},
        },
    }
