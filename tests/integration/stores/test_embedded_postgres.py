"""The embedded server's life."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ossa.app.local_ray import free_port
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.embedded.postgres_layout import Layout
from ossa.embedded.postgres_programs import choose_account, find_binaries

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="left out: needs root")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "postgres"
    EmbeddedPostgres(tmp_path / "postgres").erase()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def write(dsn: str, value: int) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (value integer)")
        conn.execute("INSERT INTO kept VALUES (%s)", (value,))


def kept(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as conn:
        return [value for (value,) in conn.execute("SELECT value FROM kept ORDER BY value")]


def test_it_starts_once_is_adopted_and_stops(home: Path) -> None:
    server = EmbeddedPostgres(home)
    assert not server.running
    dsn = server.start()
    pid = server.pid
    assert server.running
    assert (server.start(), server.pid) == (dsn, pid)
    other = EmbeddedPostgres(home)
    assert (other.start(), other.pid) == (dsn, pid)
    other.stop()
    other.stop()
    assert not server.running
    assert server.pid is None


def test_many_starting_at_once_share_one_server(home: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(EmbeddedPostgres(home).start())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_after_a_kill_it_starts_again_at_the_same_address_with_its_data(home: Path) -> None:
    server = EmbeddedPostgres(home)
    dsn = server.start()
    write(dsn, 1)
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not server.running)
    assert server.start() == dsn
    assert server.pid != pid
    assert kept(dsn) == [1]


def test_a_taken_port_is_left_to_its_owner(home: Path) -> None:
    import socket

    server = EmbeddedPostgres(home)
    dsn = server.start()
    write(dsn, 1)
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", Layout(home).last_port() or 0))
        taken.listen()
        other = server.start()
    assert other != dsn
    assert kept(other) == [1]


def test_a_pid_file_of_another_program_is_stale(home: Path) -> None:
    server = EmbeddedPostgres(home)
    dsn = server.start()
    pid_file = Layout(home).cluster / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    shutil.copystat(Layout(home).cluster, pid_file)
    pid_file.chmod(0o600)
    owner = Layout(home).cluster.stat()
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    assert not server.running
    assert server.start() == dsn


def test_a_setup_that_was_cut_short_is_done_again(home: Path) -> None:
    home.mkdir(mode=0o711)
    home.chmod(0o711)
    (home / "cluster.new").mkdir()
    (home / "cluster.new" / "half").write_text("x")
    EmbeddedPostgres(home).start()
    assert Layout(home).exists


def test_ctrl_c_in_our_terminal_is_not_for_the_server(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    assert os.getsid(server.pid or 0) != os.getsid(0)


def test_the_password_is_readable_by_its_owner_alone_and_is_asked_for(home: Path) -> None:
    server = EmbeddedPostgres(home)
    dsn = server.start()
    file = home / "password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() in dsn
    assert file.read_text() not in repr(server)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn.replace(file.read_text(), "wrong"), connect_timeout=5)
    with psycopg.connect(dsn) as conn:
        names = ("fsync", "synchronous_commit", "listen_addresses")
        shown = [conn.execute(f"SHOW {name}").fetchone() for name in names]
    assert shown == [("on",), ("on",), ("127.0.0.1",)]


@pytest.mark.parametrize("left", ["stopped", "running", "killed"])
def test_a_home_of_version_0_1_goes_on_with_its_address_password_and_data(home: Path, left: str) -> None:
    port = free_port()
    (home / "port").parent.mkdir(mode=0o711)
    home.chmod(0o711)
    (home / "password").write_text("of-version-0.1")
    (home / "password").chmod(0o600)
    (home / "port").write_text(f"{port}\n")
    account, programs, root = choose_account(home / "cluster"), find_binaries(), home
    if not account.can_enter(home):
        root = Path(tempfile.mkdtemp(prefix="ossa-postgres-", dir="/var/tmp"))
        root.chmod(0o711)
        (home / "location").write_text(f"{root}\n")
    if not programs.runnable_by(account):
        programs = programs.copied_to(root)
    (root / "cluster").mkdir(mode=0o700)
    account.give(root / "cluster")
    secret = root / "cluster.pw"
    secret.write_text("of-version-0.1")
    account.give(secret)
    how = ["--username", "ossa", "--pwfile", secret, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    assert account.run([programs.initdb, "--pgdata", root / "cluster", *how]).returncode == 0
    secret.unlink()
    options = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    former = subprocess.Popen(
        [str(programs.postgres), "-D", str(root / "cluster"), *options],
        cwd="/",
        start_new_session=True,
        **account.popen_options(),
    )
    server, dsn = EmbeddedPostgres(home), f"postgresql://ossa:of-version-0.1@127.0.0.1:{port}/ossa"
    wait_for(lambda: server.running)
    with psycopg.connect(dsn.removesuffix("ossa") + "postgres", autocommit=True) as conn:
        conn.execute("CREATE DATABASE ossa")
    write(dsn, 1)
    if left != "running":
        former.send_signal(signal.SIGINT if left == "stopped" else signal.SIGKILL)
        former.wait()
    assert server.start() == dsn
    assert kept(dsn) == [1]
    assert (server.pid == former.pid) == (left == "running")


@AS_ROOT
def test_root_runs_it_as_somebody_else(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


@AS_ROOT
def test_a_closed_folder_stays_closed_and_the_cluster_goes_elsewhere(home: Path) -> None:
    closed = home.parent
    closed.chmod(0o700)
    server = EmbeddedPostgres(home)
    write(server.start(), 1)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert not (home / "cluster").exists()
    root = Layout(home).root
    assert root.stat().st_uid == 0
    assert stat.S_IMODE((root / "cluster").stat().st_mode) == 0o700
    server.stop()
    assert kept(server.start()) == [1]


@AS_ROOT
def test_programs_the_servers_user_cannot_reach_are_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ossa.embedded import postgres as module
    from ossa.embedded.postgres_programs import Binaries

    tmp_path.chmod(0o700)
    found = find_binaries()
    hidden = Binaries(tmp_path / "venv" / found.root.parent.name / found.root.name)
    shutil.copytree(found.root, hidden.root, symlinks=True)
    shutil.copytree(found.libraries, hidden.libraries, symlinks=True)
    monkeypatch.setattr(module, "find_binaries", lambda: hidden)
    server = EmbeddedPostgres(home)
    server.start()
    assert server.running
    assert str(tmp_path) not in str(Path(f"/proc/{server.pid}/exe").readlink())


def test_erasing_leaves_nothing_behind_but_what_is_not_its_own(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    root = Layout(home).root
    (home / "mine").write_text("x")
    server.erase()
    assert not server.running
    assert [path.name for path in home.iterdir()] == ["mine"]
    assert root == home or not root.exists()
