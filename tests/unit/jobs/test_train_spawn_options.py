"""The training job refuses what cannot be meant before it asks a cluster or a database anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.train_spawn_predictor import main, parse

ALONE = ("--no-samples", "--dry-run", "--task-seconds", "4")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("wrong", ["--trials=0", "--at-once=-1", "--days=0", "--task-seconds=nan", "--days=soon"])
def test_a_wrong_option_is_a_usage_error(wrong: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([wrong])
    assert caught.value.code == 2
    assert wrong.split("=")[0] in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_line(home: Path, capsys: Any) -> None:
    assert main([*ALONE, "--data", str(home / "none.csv")]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_a_wrong_value_is_one_line_with_file_line_and_column(home: Path, capsys: Any) -> None:
    file = home / "security.csv"
    file.write_text("timestamp,value\n2026-03-04T00:00:00Z,1\n2026-03-04T00:01:00Z,lots\n")
    assert main([*ALONE, "--data", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"ossa: {file}: line 3, column value: 'lots' is no number."


def test_too_few_minutes_are_said_before_anything_is_started(home: Path, capsys: Any) -> None:
    file = home / "security.csv"
    file.write_text("timestamp,value\n2026-03-04T00:00:00Z,1\n2026-03-04T00:01:00Z,2\n")
    assert main([*ALONE, "--data", str(file)]) == 1
    assert "2 minutes to learn from" in capsys.readouterr().err


def test_without_material_it_says_how_to_get_some(capsys: Any) -> None:
    assert main([*ALONE]) == 1
    assert "--data" in capsys.readouterr().err


def test_a_search_that_is_not_there_cannot_be_gone_on_with(home: Path, capsys: Any) -> None:
    assert main([*ALONE, "--resume", "20260304T000000"]) == 1
    assert f"There is no search 20260304T000000 in {home}" in capsys.readouterr().err


def test_a_wrong_setting_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_DATABASE__DNS", "postgresql://me:SECRETVALUE@db/ossa")
    assert main([]) == 2
    assert capsys.readouterr().err == "ossa: OSSA_DATABASE__DNS: there is no such setting\n"
