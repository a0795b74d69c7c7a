"""Folders are read file by file."""

from __future__ import annotations

from pathlib import Path

from ossa.manifest import scan

AGENT = "apiVersion: ossa/v1\nkind: Agent\nmetadata: {{name: {0}}}\nspec: {{}}\n"


def test_a_folder_is_read_in_order_with_all_suffixes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".agents").mkdir()
    (tmp_path / "b" / "two.yml").write_text(AGENT.format("two"))
    (tmp_path / "one.YAML").write_text(AGENT.format("one"))
    (tmp_path / ".agents" / "hidden.yaml").write_text(AGENT.format("hidden"))
    (tmp_path / "three.json").write_text('{"apiVersion": "ossa/v1"}')
    (tmp_path / "notes.md").write_text("# not a manifest")
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    readings = list(scan([tmp_path], env={}))
    assert [(Path(reading.source).name, reading.status) for reading in readings] == [
        ("one.YAML", "loaded"),
        ("three.json", "rejected"),
        ("hidden.yaml", "loaded"),
        ("two.yml", "loaded"),
    ]


def test_a_path_that_is_absent_or_empty_is_one_rejection(tmp_path: Path) -> None:
    absent, empty = scan([tmp_path / "absent.yaml", tmp_path])
    assert "no such file" in str(absent)
    assert "holds no .yaml" in str(empty)


def test_a_file_that_is_named_is_read_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "agent.txt").write_text(AGENT.format("a"))
    (reading,) = scan([tmp_path / "agent.txt"])
    assert reading.status == "loaded"
