"""`jobs/load_samples.py` into a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.scaling import PoolSample
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.stores.postgres import PostgresStores

ROOT = Path(__file__).parents[3]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LONGEST_S = 120


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    EmbeddedPostgres(tmp_path / "home" / "postgres").erase()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "turns.csv"
    lines = [f"2025-01-01T00:00:{second:02d}Z,{10 if second % 2 else ''},3000,0" for second in range(60)]
    file.write_text("\n".join(("timestamp,duration_s,tokens_in,tokens_out", *lines)))
    return file


def loaded(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OSSA_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "jobs/load_samples.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def kept(home: Path) -> list[PoolSample]:
    server = EmbeddedPostgres(home / "postgres")
    dsn = server.start()

    async def ask() -> list[PoolSample]:
        stores = PostgresStores(Database(), dsn)
        await stores.open()
        try:
            return await stores.scaling.samples(since=LONG_AGO)
        finally:
            await stores.close()

    try:
        return asyncio.run(ask())
    finally:
        server.stop()


def test_a_trace_becomes_a_pools_samples_and_loading_it_again_changes_nothing(home: Path, trace: Path) -> None:
    arguments = ("--file", str(trace), "--pool", "security", "--end", "2026-01-02T03:04:05Z")
    report = json.loads(loaded(home, *arguments, "--json").stdout)
    assert (report["form"], report["samples"], report["arrivals"], report["loaded"]) == ("events", 6, 60, True)
    found = kept(home)
    last = datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC)
    assert [one.at for one in found] == [last - timedelta(seconds=seconds) for seconds in (50, 40, 30, 20, 10, 0)]
    assert {(one.pool, one.arrivals, one.cpu) for one in found} == {("security", 10, None)}
    assert found[-1].running == pytest.approx(0.5 * 10 + 0.5 * 1.5, rel=0.1)
    again = loaded(home, *arguments)
    assert "Loaded." in again.stderr and "The fleet has no pool security yet" in again.stderr
    assert kept(home) == found
