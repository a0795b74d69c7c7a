"""A second start in one home is refused, and what it refuses to disturb goes on."""

import os
from pathlib import Path

import psutil
import pytest

from ossa.app.local_fleet import LocalFleet
from ossa.app.run_file import RunFile, read_run_file, write_run_file
from ossa.contracts.errors import Conflict
from ossa.settings import Settings


def test_a_refused_start_stops_nothing_of_the_fleet_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFile(
        url="http://127.0.0.1:8000",
        api_key_file="/k",
        ray_address="127.0.0.1:1",
        ray_session=os.getpid(),
        ray_session_started=psutil.Process().create_time(),
    )
    write_run_file(tmp_path, run)
    fleet = LocalFleet(Settings(home=tmp_path))
    monkeypatch.setattr(fleet._services, "stop", lambda: pytest.fail("it stopped another fleet's services"))
    with pytest.raises(Conflict, match="runs already"):
        fleet.start()
    fleet.stop()
    assert read_run_file(tmp_path) == run
