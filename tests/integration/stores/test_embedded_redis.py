"""The embedded Valkey's life."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ossa.app.local_ray import free_port
from ossa.contracts.errors import StoreUnavailable
from ossa.embedded import redis as embedded_redis
from ossa.embedded.redis import EmbeddedRedis


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / 'with space "and quotes"'
    EmbeddedRedis(tmp_path / 'with space "and quotes"').erase()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_starts_once_is_adopted_and_stops(home: Path) -> None:
    server = EmbeddedRedis(home)
    assert not server.running
    dsn = server.start()
    pid = server.pid
    assert server.running
    assert (server.start(), server.pid) == (dsn, pid)
    other = EmbeddedRedis(home)
    assert (other.start(), other.pid) == (dsn, pid)
    other.stop()
    other.stop()
    assert not server.running
    assert server.pid is None


def test_many_starting_at_once_share_one_server(home: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(EmbeddedRedis(home).start())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_it_outlives_the_process_that_started_it(home: Path) -> None:
    code = "import sys, pathlib, ossa.embedded.redis as e; e.EmbeddedRedis(pathlib.Path(sys.argv[1])).start()"
    subprocess.run([sys.executable, "-c", code, str(home)], check=True, timeout=60)
    server = EmbeddedRedis(home)
    assert server.running
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_after_a_kill_it_starts_again_at_the_same_address(home: Path) -> None:
    server = EmbeddedRedis(home)
    dsn, pid = server.start(), server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not server.running)
    assert server.start() == dsn


def test_it_takes_another_port_when_its_own_is_taken(home: Path) -> None:
    server = EmbeddedRedis(home)
    dsn = server.start()
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int((home / "port").read_text())))
        taken.listen()
        assert server.start() != dsn
        assert server.running


def test_only_this_machine_reaches_it_and_only_with_the_password(home: Path) -> None:
    server = EmbeddedRedis(home)
    dsn = server.start()
    assert server.pid is not None
    process = psutil.Process(server.pid)
    listening = {found.laddr.ip for found in process.net_connections() if found.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    password = (home / "password").read_text()
    assert password in dsn
    assert password not in " ".join(process.cmdline())
    assert password not in f"{process.environ()}{(home / 'redis.log').read_text()}{server!r}"
    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=int((home / "port").read_text()), retry=Retry(NoBackoff(), 0)).ping()


def test_nothing_is_written_to_disk(home: Path) -> None:
    server = EmbeddedRedis(home)
    with redis.Redis.from_url(server.start()) as client:
        client.set("k", "v")
    server.stop()
    assert {file.name for file in home.iterdir()} == {"password", "port", "redis.log", "lock"}
    with redis.Redis.from_url(server.start()) as client:
        assert client.get("k") is None


def test_when_it_is_full_what_has_a_lifetime_gives_way(home: Path) -> None:
    server = EmbeddedRedis(home, max_memory_mib=4)
    with redis.Redis.from_url(server.start()) as client:
        for number in range(300):
            client.set(f"k{number}", b"x" * 65_536, ex=600)
        assert 0 < client.dbsize() < 300


def test_a_stale_pid_file_whose_pid_is_another_program_is_left_alone(home: Path) -> None:
    home.mkdir()
    (home / "pid").write_text(f"{os.getpid()}\n")
    (home / "port").write_text("1\n")
    server = EmbeddedRedis(home)
    assert server.pid is None
    server.start()
    assert server.pid != os.getpid()


def test_a_server_of_version_0_1_is_adopted(home: Path) -> None:
    home.mkdir(mode=0o700)
    port = free_port()
    (home / "password").write_text("of-version-0.1")
    (home / "port").write_text(f"{port}\n")
    settings = f'bind 127.0.0.1\nport {port}\nrequirepass of-version-0.1\ndir ./\npidfile ./pid\nsave ""\n'
    former = subprocess.Popen(
        [str(embedded_redis.find_program()), "-"], stdin=subprocess.PIPE, cwd=home, start_new_session=True
    )
    assert former.stdin is not None
    with former.stdin as stdin:
        stdin.write(settings.encode())
    server = EmbeddedRedis(home)
    wait_for(lambda: server.running)
    assert server.start() == f"redis://:of-version-0.1@127.0.0.1:{port}/0"
    assert server.pid == former.pid
    server.stop()
    assert server.start() == f"redis://:of-version-0.1@127.0.0.1:{port}/0"


def test_erase_leaves_the_files_of_others(home: Path) -> None:
    server = EmbeddedRedis(home)
    server.start()
    (home / "mine").write_text("x")
    server.erase()
    assert [file.name for file in home.iterdir()] == ["mine"]
    (home / "mine").unlink()


def test_without_the_wheel_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "_WHEEL", "no_such_package")
    with pytest.raises(StoreUnavailable, match="pip install"):
        EmbeddedRedis(home).start()
