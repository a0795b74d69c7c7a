"""Stopping ends one session of processes and no other."""

import subprocess
import sys

import psutil

from ossa.app.local_ray import end_session

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


def test_a_process_that_took_over_the_number_is_left_alone() -> None:
    other = start()
    try:
        end_session(other.pid, started=0.0)
        assert other.poll() is None
    finally:
        end_session(other.pid, psutil.Process(other.pid).create_time())
        other.wait(timeout=5)
