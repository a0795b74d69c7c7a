"""Files teach turns at once by the time at which samples end; what cannot teach a minute is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.forecasting.panels import recorded
from ossa.contracts.errors import InvalidRequest

MIDNIGHT = 1772582400.0  # 2026-03-04T00:00:00Z


def written(folder: Path, text: str) -> Path:
    path = folder / "security.past.csv"
    path.write_text(text)
    return path


def test_a_series_is_turns_at_once_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    rows = "timestamp,value\n2026-03-04T00:00:00Z,30\n2026-03-04T00:01:00Z,\n2026-03-04T00:02:00Z,60\n"
    found = recorded(written(tmp_path, rows), turn_s=4.0)
    assert found.name == "security"
    assert [second - MIDNIGHT for second in found.seconds] == [10, 20, 30, 40, 50, 60, 130, 140, 150, 160, 170, 180]
    assert found.values == pytest.approx([2.0] * 6 + [4.0] * 6)


def test_a_wrong_value_is_named_with_file_line_and_column(tmp_path: Path) -> None:
    file = written(tmp_path, "timestamp,value\n2026-03-04T00:00:00Z,1\n2026-03-04T00:01:00Z,lots\n")
    with pytest.raises(InvalidRequest) as caught:
        recorded(file, turn_s=4.0)
    assert caught.value.message == f"{file}: line 3, column value: 'lots' is no number."


def test_steps_longer_than_a_minute_and_turns_of_no_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="its steps are 300 s; at most 60 s"):
        recorded(written(tmp_path, "timestamp,value\n2026-03-04T00:00:00Z,1\n2026-03-04T00:05:00Z,1\n"), turn_s=4.0)
    with pytest.raises(InvalidRequest, match="say what a turn takes"):
        recorded(written(tmp_path, "timestamp,value\n2026-03-04T00:00:00Z,1\n2026-03-04T00:01:00Z,1\n"))
