"""`ossa up` when it is told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ossa.cli import up
from ossa.settings import Settings


class FakeFleet:
    """Stands in for `LocalFleet`: `start` does what it is told, `stop` is counted."""

    started: Callable[[], None]
    stops = 0

    def __init__(self, settings: Settings, **_: Any) -> None:
        self.settings = settings
        FakeFleet.stops = 0

    def start(self) -> None:
        FakeFleet.started()

    def stop(self) -> None:
        FakeFleet.stops += 1


@pytest.fixture
def run_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[], None]], int]:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path))
    monkeypatch.setattr(up, "LocalFleet", FakeFleet)

    def run(started: Callable[[], None]) -> int:
        FakeFleet.started = staticmethod(started)  # type: ignore[assignment]
        return up.run_up(agents=5, once=False, detach=False, port=0, json_output=False)

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_start_is_one_line_and_exit_code_1(run_up: Any, number: signal.Signals, capsys: Any) -> None:
    given = signal.signal(
        number, signal.default_int_handler
    )  # whoever runs the tests may have it ignored, as nohup does
    try:
        assert run_up(lambda: os.kill(os.getpid(), number)) == 1
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, given)
    assert capsys.readouterr().err == "ossa: interrupted before the fleet was up; what was started is stopped again\n"
    assert FakeFleet.stops


def test_a_sigterm_that_ray_turned_into_an_exit_is_an_interruption(run_up: Any, capsys: Any) -> None:
    def start() -> None:
        raise SystemExit(signal.SIGTERM)

    assert run_up(start) == 1
    assert "interrupted" in capsys.readouterr().err


def test_an_interruption_that_a_library_wraps_is_one(run_up: Any, capsys: Any) -> None:
    def start() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException as error:
            raise SystemError("a result with an exception set") from error

    assert run_up(start) == 1
    assert "interrupted" in capsys.readouterr().err


def test_a_hangup_that_nohup_ignores_stays_ignored(run_up: Any, capsys: Any) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def start() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        assert run_up(start) == 1
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_anything_else_still_stops_the_fleet(run_up: Any) -> None:
    def start() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_up(start)
    assert FakeFleet.stops
