"""Connections to PostgreSQL of a whole fleet: by whom, and that agents hold none."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks.bench_fleet import BenchFleet
from ossa.testing.models.server import ScriptedProcess

CHATS = 40


def count(agents: int) -> dict[str, Any]:
    """A fleet of so many agents on this machine, after some chats."""
    with (
        tempfile.TemporaryDirectory() as home,
        ScriptedProcess() as upstream,
        BenchFleet(home, upstream, agents=agents) as fleet,
    ):
        fleet.deploy()
        with fleet.client() as client:
            for number in range(CHATS):
                client.chat(f"hello {number}")
            ready = sum(pool.ready for pool in client.pools.list())
        with psycopg.connect(fleet.dsn) as conn:
            row = conn.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
        holders = _holders(urlsplit(fleet.dsn).port or 5432)
        assert row is not None
        return {
            "agents": ready,
            "connections": int(row[0]),
            "by_process": dict(holders),
            "of_agents": sum(number for name, number in holders.items() if name.startswith("ray::ossa:")),
        }


def _holders(port: int) -> Counter[str]:
    """Established connections to a port of this machine, by what the process is called."""
    found: Counter[str] = Counter()
    for one in psutil.net_connections("tcp"):
        if one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED and one.pid:
            try:
                words = psutil.Process(one.pid).cmdline()
            except psutil.Error:
                continue
            found[words[0] if words else str(one.pid)] += 1
    return found
