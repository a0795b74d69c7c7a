"""A home that cannot be is a wrong setting, and nothing is started in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ossa.app.bootstrap import make_home
from ossa.app.local_fleet import LocalFleet
from ossa.settings import Settings, WrongSetting


def test_a_home_is_made_with_its_parents(tmp_path: Path) -> None:
    make_home(tmp_path / "a" / "b")
    make_home(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_fleet_whose_home_cannot_be_made_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    fleet = LocalFleet(Settings(home=tmp_path / "file" / "home"))
    monkeypatch.setattr(fleet._services, "start", lambda: pytest.fail("it started the services"))
    with pytest.raises(WrongSetting, match=r"OSSA_HOME: .*home cannot be made: Not a directory"):
        fleet.start()
