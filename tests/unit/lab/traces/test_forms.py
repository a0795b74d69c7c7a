"""A recorded trace is read as it is, or refused with the file, the line and the column that are wrong."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lab.traces.forms import CALL_S, Counts, Events, read_trace
from ossa.contracts.errors import InvalidRequest

NAN = float("nan")
START = datetime(2026, 1, 1, tzinfo=UTC)


def written(folder: Path, text: str, name: str = "load.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["load.csv", "load.csv.gz"])
def test_a_series_keeps_its_gaps_whatever_the_order_of_its_lines(tmp_path: Path, name: str) -> None:
    lines = ("2026-01-01 00:04:00,7", "2026-01-01T00:00:00Z,1", "2026-01-01T01:01:00+01:00,", "2026-01-01T00:02:00Z,3")
    found = read_trace(written(tmp_path, "\n".join(("timestamp,value", *lines)), name))
    assert isinstance(found, Counts)
    assert (found.name, found.start, found.step_s) == ("load", START, 60.0)
    np.testing.assert_array_equal(found.values, [1, NAN, 3, NAN, 7])


def test_a_turns_duration_is_said_or_follows_from_its_tokens_or_is_not_known(tmp_path: Path) -> None:
    lines = ("2026-01-01T00:00:30Z,,3000,30", "2026-01-01T00:00:00.1234567Z,2.5,9,9", "2026-01-01T00:01:00Z,,,")
    found = read_trace(written(tmp_path, "\n".join(("timestamp,duration_s,tokens_in,tokens_out", *lines))))
    assert isinstance(found, Events)
    np.testing.assert_allclose(found.arrivals, [0, 29.876544, 59.876544])
    np.testing.assert_array_equal(found.durations, [2.5, CALL_S + 2, NAN])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "timestamp,value"),
        ("when,value\n1,2\n", "timestamp,value"),
        ("timestamp,value\nyesterday,2\n", "line 2, column timestamp: 'yesterday' is no ISO 8601 time"),
        ("timestamp,value\n2026-01-01,1\n2026-01-02,many\n", "line 3, column value: 'many' is no number"),
        ("timestamp,value\n2026-01-01,1\n2026-01-02,-1\n", "line 3, column value: -1 is not 0 or more"),
        ("timestamp,value\n2026-01-01,inf\n2026-01-02,1\n", "line 2, column value: inf is not 0 or more"),
        ("timestamp,value\n2026-01-01,1\n", "two lines with different times"),
        ("timestamp,value\n2026-01-01,\n2026-01-02,\n", "no line has a value"),
        (
            "timestamp,value\n2026-01-01,1\n2026-01-02,1\n2026-01-03,1\n2026-01-03,2\n",
            "line 5, column timestamp: another",
        ),
        (
            "timestamp,value\n2026-01-01,1\n2026-01-02,1\n2026-01-03,1\n2026-01-03 12,2\n2026-01-04,2\n2026-01-05,1\n",
            "line 5, column timestamp: it lies between",
        ),
        (
            "timestamp,value\n2026-01-01 00:00:00,1\n2026-01-01 00:00:01,1\n2026-01-01 00:00:02,1\n2126-01-01,1\n",
            "line 5, column timestamp: .* steps of 1 s",
        ),
        ("timestamp,duration_s\n2026-01-01,soon\n", "line 2, column duration_s: 'soon' is no number"),
        ("timestamp,tokens_in\n2026-01-01,-5\n", "line 2, column tokens_in: -5 is not 0 or more"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        read_trace(written(tmp_path, text))
    assert "load.csv" in refused.value.message


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"\xff\xfe\x00"), ("b.csv.gz", b"not gzip"), ("c.csv.gz", gzip.compress(b"x")[:9])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidRequest, match=rf"{name} cannot be read"):
            read_trace(tmp_path / name)
    with pytest.raises(InvalidRequest, match="There is no file"):
        read_trace(tmp_path / "none.csv")
