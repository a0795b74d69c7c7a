"""The quickstart notebook runs from top to bottom against a fleet, and draws."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from benchmarks.bench_fleet import BenchFleet

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def test_the_quickstart_runs_and_draws(fleet: BenchFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OSSA_URL", fleet.url)
    monkeypatch.setenv("OSSA_API_KEY", fleet.api_key)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    ran = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [output for cell in ran.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert fleet.api_key not in nbformat.writes(ran)
