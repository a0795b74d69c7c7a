"""Stopping ends one session of processes and no other."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from ossa.app import local_ray
from ossa.app.local_ray import LocalRay, end_session, haproxy_folder, own_folder
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotReady

SLEEPER = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(['sleep', '60']); input()"]


def start() -> subprocess.Popen[bytes]:
    leader = subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, start_new_session=True)
    while not psutil.Process(leader.pid).children():
        assert leader.poll() is None
    return leader


def test_it_ends_the_leader_and_its_children_and_leaves_others() -> None:
    ours, other = start(), start()
    try:
        children = psutil.Process(ours.pid).children()
        end_session(ours.pid, psutil.Process(ours.pid).create_time())
        assert ours.wait(timeout=5) is not None
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        assert other.poll() is None
    finally:
        end_session(other.pid, psutil.Process(other.pid).create_time())
        other.wait(timeout=5)


def test_stop_ends_its_ray_also_when_the_clock_was_set_after_the_start(tmp_path: Path) -> None:
    ray = LocalRay(cpus=1, log_dir=tmp_path, gateway=GatewaySettings())
    ray._process = start()
    ray.session_started = psutil.Process(ray._process.pid).create_time() - 60
    stopping = threading.Thread(target=ray.stop, daemon=True)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()


def test_a_process_that_took_over_the_number_is_left_alone() -> None:
    other = start()
    try:
        end_session(other.pid, started=0.0)
        assert other.poll() is None
    finally:
        end_session(other.pid, psutil.Process(other.pid).create_time())
        other.wait(timeout=5)


@pytest.mark.parametrize("leader", [0, 1])
def test_the_session_of_the_system_is_never_ended(leader: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ray, "_members", lambda _: pytest.fail("it looked for processes to end"))
    monkeypatch.setattr(psutil, "Process", lambda _: pytest.fail("it took the leader for one of ours"))
    end_session(leader, started=0.0)


@pytest.mark.parametrize(
    "temp_dir", ["/tmp/ossa-ray-0", "/tmp/ossa-ray-1001", "/var/folders/zz/abc/T/ossa-ray-1234567890"]
)
def test_haproxys_socket_path_is_short_enough_for_any_user(temp_dir: str) -> None:
    socket = haproxy_folder(Path(temp_dir), 65535) / ("f" * 56) / "admin.sock"
    assert len(os.fsencode(socket)) <= 97


def test_a_folder_that_somebody_else_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(tmp_path / "ours")
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(NotReady, match="belongs to another user"):
        own_folder(tmp_path / "ours")
