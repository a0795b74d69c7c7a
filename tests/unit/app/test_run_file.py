"""What `ossa up` leaves behind is private, whole, and gone when removed."""

import stat
from pathlib import Path

from ossa.app.run_file import NAME, RunFile, read_run_file, remove_run_file, write_run_file

RUN = RunFile(url="http://127.0.0.1:8000", api_key_file="/k", ray_address="127.0.0.1:1", ray_session=5)


def test_it_reads_what_was_written(tmp_path: Path) -> None:
    write_run_file(tmp_path / "home", RUN)
    assert read_run_file(tmp_path / "home") == RUN


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    write_run_file(tmp_path, RUN)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_absent_or_broken_is_none(tmp_path: Path) -> None:
    assert read_run_file(tmp_path) is None
    (tmp_path / NAME).write_text("{")
    assert read_run_file(tmp_path) is None


def test_removing_twice_is_fine(tmp_path: Path) -> None:
    write_run_file(tmp_path, RUN)
    remove_run_file(tmp_path)
    remove_run_file(tmp_path)
    assert read_run_file(tmp_path) is None
