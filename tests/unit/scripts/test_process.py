"""A process is known by its pid and its start time."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossa.embedded.postgres_programs import Account
from scripts.services.failure import ServiceFailed
from scripts.services.process import ProcessRecord, identity, spawn

OURSELVES = Account(os.geteuid(), os.getegid(), switch=False)
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "member.log"


@pytest.fixture
def record(log: Path) -> Iterator[ProcessRecord]:
    yield from started(SLEEP, log)


@pytest.fixture
def stubborn(log: Path) -> Iterator[ProcessRecord]:
    yield from started(STUBBORN, log)


def started(program: str, log: Path) -> Iterator[ProcessRecord]:
    found = spawn([sys.executable, "-c", program], account=OURSELVES, environment={}, ports={"sql": 1}, log=log)
    while not log.read_text() and found.alive:
        pass
    yield found
    found.kill()


def test_it_is_written_down_and_read_back(record: ProcessRecord, tmp_path: Path) -> None:
    record.write(tmp_path / "member.process.json")
    assert ProcessRecord.read(tmp_path / "member.process.json") == record
    assert ProcessRecord.read(tmp_path / "other.process.json") is None


def test_it_is_stopped_and_its_zombie_is_taken_away(record: ProcessRecord) -> None:
    assert record.alive
    assert record.stop(signal.SIGTERM, 10)
    assert not record.alive
    assert not Path(f"/proc/{record.pid}").exists()


def test_a_stopped_one_may_be_stopped_again(record: ProcessRecord) -> None:
    record.kill()
    assert record.stop(signal.SIGTERM, 10)


def test_one_that_does_not_listen_is_killed(stubborn: ProcessRecord) -> None:
    assert not stubborn.stop(signal.SIGTERM, 0.1)
    assert not stubborn.alive


def test_a_later_process_of_the_same_pid_is_left_alone(record: ProcessRecord) -> None:
    earlier = dataclasses.replace(record, started="another-boot:1")
    assert not earlier.alive
    earlier.kill()
    assert record.alive


def test_no_living_process_has_no_identity(record: ProcessRecord) -> None:
    os.kill(record.pid, signal.SIGKILL)
    while identity(record.pid):
        pass
    assert not record.alive  # a zombie still has the pid


def test_a_program_that_is_not_there_is_named(log: Path) -> None:
    with pytest.raises(ServiceFailed, match="/no/such/program"):
        spawn(["/no/such/program"], account=OURSELVES, environment={}, ports={}, log=log)
