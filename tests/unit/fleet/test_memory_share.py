"""A container's limit goes before the machine's memory, and what the page cache could give back is not in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from ossa.fleet.memory_share import memory_share


def _container(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text("800\n")
    (folder / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    return folder


def _machine(folder: Path) -> Path:
    file = folder / "meminfo"
    file.write_text("MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    400 kB\n")
    return file


def test_a_container_with_a_limit(tmp_path: Path) -> None:
    assert memory_share(_container(tmp_path, "1000"), _machine(tmp_path)) == pytest.approx(0.5)


def test_a_container_without_a_limit_is_as_full_as_its_machine(tmp_path: Path) -> None:
    assert memory_share(_container(tmp_path, "max"), _machine(tmp_path)) == pytest.approx(0.6)


def test_nothing_to_read_is_not_known(tmp_path: Path) -> None:
    assert memory_share(tmp_path / "none", tmp_path / "neither") is None
