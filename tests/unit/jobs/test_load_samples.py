"""The loading job refuses what cannot be meant before it asks a database anything, and places a trace on the clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.load_samples import main, parse, place
from ossa.contracts.errors import InvalidRequest

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
NEEDED = ("--file", "load.csv", "--pool", "security")


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSSA_HOME", str(tmp_path / "home"))
    file = tmp_path / "load.csv"
    file.write_text("timestamp,value\n2025-01-01T00:00:00Z,60\n2025-01-01T00:01:00Z,120\n")
    return file


@pytest.mark.parametrize(
    "wrong",
    [
        ("--task-seconds", "0"),
        ("--task-seconds", "inf"),
        ("--start", "soon"),
        ("--end", "own"),
        ("--pool", ""),
        ("--start", "own", "--end", "2026-01-01"),
    ],
)
def test_a_wrong_option_is_a_usage_error(wrong: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([*NEEDED, *wrong])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_dry_run_tells_what_would_be_loaded_and_begins_no_database(trace: Path, tmp_path: Path, capsys: Any) -> None:
    wanted = [
        "--file",
        str(trace),
        "--pool",
        "security",
        "--task-seconds",
        "30",
        "--dry-run",
        "--start",
        "own",
        "--json",
    ]
    assert main(wanted) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["form"], report["samples"], report["arrivals"], report["loaded"]) == ("series", 12, 180, False)
    assert (report["running_mean"], report["running_most"]) == (45.0, 60.0)
    assert (report["first"], report["last"]) == ("2025-01-01T00:00:10+00:00", "2025-01-01T00:02:00+00:00")
    assert not (tmp_path / "home" / "postgres").exists()


def test_what_is_wrong_with_a_file_is_one_line(trace: Path, capsys: Any) -> None:
    wanted = ["--file", str(trace), "--pool", "security"]
    assert main(wanted) == 1
    assert "say what a turn takes. (task-seconds)" in capsys.readouterr().err
    trace.write_text("timestamp,value\n2025-01-01T00:00:00Z,60\n2025-01-01T00:01:00Z,lots\n")
    assert main([*wanted, "--task-seconds", "5"]) == 1
    assert capsys.readouterr().err == f"ossa: {trace}: line 3, column value: 'lots' is no number.\n"


def test_a_wrong_setting_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OSSA_DATABASE__DNS", "postgresql://me:SECRETVALUE@db/ossa")
    assert main(list(NEEDED)) == 2
    assert capsys.readouterr().err == "ossa: OSSA_DATABASE__DNS: there is no such setting\n"


@pytest.mark.parametrize(
    ("when", "begins"),
    [
        ((), "2026-03-04T05:04:00+00:00"),
        (("--end", "2026-01-01T00:02:07"), "2026-01-01T00:00:00+00:00"),
        (("--start", "2026-01-01T01:00:09+01:00"), "2026-01-01T00:00:00+00:00"),
        (("--start", "own"), "2025-05-05T05:05:00+00:00"),
    ],
)
def test_a_trace_lies_on_whole_samples_of_the_clock(when: tuple[str, ...], begins: str) -> None:
    own = datetime(2025, 5, 5, 5, 5, 5, tzinfo=UTC)
    assert place(parse([*NEEDED, *when]), own, 120.0, NOW).isoformat() == begins


@pytest.mark.parametrize("when", [("--start", "2026-03-04T05:05:00"), ("--end", "2027-01-01")])
def test_nothing_is_loaded_into_the_future(when: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="still to come"):
        place(parse([*NEEDED, *when]), NOW, 120.0, NOW)
