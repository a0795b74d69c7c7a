"""The training job refuses what cannot be meant before it asks a cluster or a database anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.train_router import main, parse


@pytest.mark.parametrize("wrong", [("--trials", "0"), ("--trials", "many"), ("--at-once", "-1"), ("--kind", "tea")])
def test_a_wrong_option_is_a_usage_error(wrong: tuple[str, str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([f"{wrong[0]}={wrong[1]}"])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path))
    assert main(["--no-journal", "--dry-run", "--data", str(tmp_path / "none.csv")]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_without_material_it_says_how_to_get_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path))
    assert main(["--no-journal", "--dry-run", "--kind", "labels"]) == 1
    assert "ossa feedback" in capsys.readouterr().err


def test_a_wrong_setting_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_DATABASE__DNS", "postgresql://me:SECRETVALUE@db/ossa")
    assert main([]) == 2
    assert capsys.readouterr().err == "ossa: OSSA_DATABASE__DNS: there is no such setting\n"
