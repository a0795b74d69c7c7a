"""Every store that can be had here: the fake, the embedded PostgreSQL, and Debian's when it is installed.

`scripts/install-debian-postgres` installs the last one.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.stores import Stores
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.embedded.postgres_programs import choose_account
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores import MemoryStores

DEBIAN = Path("/usr/lib/postgresql/15/bin")
LEFT_OUT = "left out: Debian PostgreSQL not installed (scripts/install-debian-postgres)"
KINDS = ("memory", "embedded", "debian")


def pytest_report_header() -> list[str]:
    debian = f"Debian PostgreSQL ({DEBIAN})" if (DEBIAN / "postgres").exists() else f"Debian {LEFT_OUT}"
    redis = "Redis, a cluster of 9 Redis (real)" if shutil.which("redis-server") else "Redis left out: not installed"
    return [
        f"stores under contract: in memory (a fake); embedded PostgreSQL (real); {debian}",
        f"caches under contract: in memory (a fake); embedded Valkey (real); {redis}",
    ]


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("embedded") / "postgres")
    server.start()
    yield server
    server.erase()


def _pytests_own(home: Path, base: Path) -> Iterator[Path]:
    """The folders that pytest made on the way to `home`; a process of pytest-xdist has one more than pytest alone."""
    temporary = Path(tempfile.gettempdir())
    for folder in (home, *home.parents):
        if folder == temporary or not (folder.is_relative_to(base) or folder.is_relative_to(temporary)):
            return
        yield folder


@pytest.fixture(scope="session")
def debian_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (DEBIAN / "postgres").exists():
        pytest.skip(LEFT_OUT)
    home = tmp_path_factory.mktemp("debian")
    cluster = home / "cluster"
    account = choose_account(cluster)
    if account.switch:
        for folder in _pytests_own(home, tmp_path_factory.getbasetemp()):
            folder.chmod(0o711)
    cluster.mkdir(mode=0o700)
    account.give(cluster)
    done = account.run([DEBIAN / "initdb", "-D", cluster, "-U", "ossa", "-A", "trust", "-E", "UTF8", "--locale=C"])
    assert done.returncode == 0, done.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("-p", str(port), "-h", "127.0.0.1", "-k", "")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [DEBIAN / "postgres", "-D", cluster, *options], stdout=log, stderr=log, **account.popen_options()
        )
    dsn = f"postgresql://ossa@127.0.0.1:{port}/postgres"
    try:
        wait_until_it_answers(dsn)
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def wait_until_it_answers(dsn: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dsn(kind: str, request: pytest.FixtureRequest) -> str | None:
    if kind == "memory":
        return None
    found = request.getfixturevalue("debian_dsn") if kind == "debian" else request.getfixturevalue("embedded").start()
    empty(str(found))
    return str(found)


def empty(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        tables = conn.execute(
            "SELECT 'ossa.' || tablename FROM pg_tables "
            "WHERE schemaname = 'ossa' AND tablename NOT IN ('migrations', 'history_parts')"
        ).fetchall()
        for (table,) in tables:
            conn.execute(f"DELETE FROM {table}")


@pytest.fixture
async def stores(dsn: str | None) -> AsyncIterator[Stores]:
    opened: Stores = MemoryStores() if dsn is None else PostgresStores(Database(), dsn)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def journal(stores: Stores) -> Any:
    return stores.journal


_numbers = count(time.time_ns())


class Made:
    """Values to write."""

    def task(self, tenant: str = "acme", *, key: str | None = None, body: str = "b", text: str = "hi") -> NewTask:
        request = TaskRequest(messages=[{"role": "user", "content": text}], parameters={"temperature": 0.5})
        return NewTask(
            id=f"task_{next(_numbers):032x}", tenant=tenant, request=request, idempotency_key=key, body_sha256=body
        )

    def step(self, seq: int, kind: str = "model", **payload: Any) -> Step:
        return Step(
            seq=seq,
            kind=kind,  # type: ignore[arg-type]
            agent_id="foundation-001",
            payload=payload or {"message": {"role": "assistant", "content": f"step {seq}"}},
            usage=Usage(prompt_tokens=7, completion_tokens=2, cost_usd=0.25, model_calls=1),
            at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        )

    def outcome(self, status: TaskStatus = TaskStatus.SUCCEEDED, tokens: int = 10, cost: float = 0.5) -> Outcome:
        return Outcome(
            status=status,
            message={"role": "assistant", "content": "done", "nothing": None},
            finish_reason="stop",
            usage=Usage(prompt_tokens=tokens, completion_tokens=1, cost_usd=cost, model_calls=1),
            agent_id="foundation-001",
            pool="foundation",
        )


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def tell_kill() -> Callable[[int], None]:
    """SIGKILL one process."""
    return lambda pid: os.kill(pid, signal.SIGKILL)
