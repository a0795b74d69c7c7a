"""A start that is interrupted leaves nothing behind, whatever Ray and Serve say to being stopped half-way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ossa.app import local_fleet, local_ray
from ossa.app.local_fleet import LocalFleet
from ossa.app.local_ray import LocalRay
from ossa.app.run_file import RunFile, read_run_file, write_run_file
from ossa.contracts.configuration import GatewaySettings
from ossa.settings import Settings


class Interrupted(BaseException):
    """What a signal's handler raises."""


class FakeRay:
    """Stands in for the module `ray`."""

    def __init__(self) -> None:
        self.disconnected = 0

    def shutdown(self) -> None:
        self.disconnected += 1


class OwnRay:
    def __init__(self, problem: BaseException | None = None) -> None:
        self.stopped, self._problem = 0, problem

    def stop(self) -> None:
        self.stopped += 1
        if self._problem:
            raise self._problem


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", found)  # type: ignore[arg-type]
    return found


def connected_fleet(home: Path, own: OwnRay, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalFleet, list[str]]:
    """A fleet that is deployed, and a list of what of it was stopped."""
    fleet = LocalFleet(Settings(home=home))
    stopped: list[str] = []
    monkeypatch.setattr(fleet._services, "stop", lambda: stopped.append("services"))
    fleet._ray = own  # type: ignore[assignment]
    fleet._began = fleet._connected = fleet._deployed = True
    write_run_file(home, RunFile(url="http://127.0.0.1:1", api_key_file="/k", ray_address="127.0.0.1:1"))
    return fleet, stopped


def refusing(problem: BaseException) -> Any:
    def undeploy(*_: object, **__: object) -> None:
        raise problem

    return type(sys)("ossa.app.deployment"), undeploy


@pytest.mark.parametrize("problem", [Exception("There is no Serve instance running"), KeyError("replica")])
def test_our_ray_is_stopped_whatever_the_undeployment_raises(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    module, module.undeploy = refusing(problem)
    monkeypatch.setitem(sys.modules, "ossa.app.deployment", module)
    own = OwnRay()
    fleet, stopped = connected_fleet(tmp_path, own, monkeypatch)
    fleet.stop()
    assert (own.stopped, stopped, ray.disconnected) == (1, ["services"], 1)
    assert read_run_file(tmp_path) is None


def test_our_ray_is_stopped_when_stopping_is_interrupted_itself(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, module.undeploy = refusing(Interrupted())
    monkeypatch.setitem(sys.modules, "ossa.app.deployment", module)
    own = OwnRay()
    fleet, stopped = connected_fleet(tmp_path, own, monkeypatch)
    with pytest.raises(Interrupted):
        fleet.stop()
    assert (own.stopped, stopped, ray.disconnected) == (1, ["services"], 1)


def test_what_could_not_be_stopped_is_still_in_the_run_file(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, stopped = connected_fleet(tmp_path, OwnRay(PermissionError("not yours")), monkeypatch)
    fleet._deployed = False
    with pytest.raises(PermissionError):
        fleet.stop()
    assert stopped == ["services"]
    assert read_run_file(tmp_path) is not None


def test_the_interruption_of_a_start_is_what_is_raised(
    tmp_path: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, module.undeploy = refusing(Exception("There is no Serve instance running"))
    monkeypatch.setitem(sys.modules, "ossa.app.deployment", module)
    own = OwnRay()
    fleet, _ = connected_fleet(tmp_path, own, monkeypatch)
    fleet._began = False

    def interrupted() -> None:
        raise Interrupted

    monkeypatch.setattr(fleet, "_refuse_a_second", lambda: None)
    monkeypatch.setattr(fleet._services, "start", interrupted)
    with pytest.raises(Interrupted):
        fleet.start()
    assert own.stopped == 1


def test_ray_does_not_keep_our_handler_of_sigterm() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with local_fleet._kept_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_ray_interrupted_before_its_session_was_noted_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def end(leader: int, _: float) -> None:
        ended.append(leader)
        head.kill()

    monkeypatch.setattr(local_ray, "end_session", end)  # nothing but the one process, whatever the code under test says
    own = LocalRay(cpus=1, log_dir=tmp_path, gateway=GatewaySettings())
    command = [sys.executable, "-c", "input()"]
    own._process = head = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    own.stop()
    assert ended == [head.pid]
    assert head.returncode is not None
