"""The notebooks run from top to bottom and draw: the quickstart against a fleet, the others without any."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from benchmarks.bench_fleet import BenchFleet

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def run(name: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """The notebook as it is after its run, and all outputs. Raises with the cell that failed."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    ran = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return nbformat.writes(ran), [output for cell in ran.cells for output in cell.get("outputs", [])]


def pictures(outputs: list[dict[str, Any]]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_the_quickstart_runs_and_draws(fleet: BenchFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OSSA_URL", fleet.url)
    monkeypatch.setenv("OSSA_API_KEY", fleet.api_key)
    written, outputs = run("quickstart.ipynb", tmp_path)
    assert pictures(outputs) >= 1
    assert fleet.api_key not in written


def test_the_notebook_on_compression_needs_no_fleet_and_no_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OSSA_DATA", str(tmp_path))
    for name in ("OSSA_URL", "OSSA_API_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    _, outputs = run("compression.ipynb", tmp_path)
    printed = "".join(output.get("text", "") for output in outputs)
    assert pictures(outputs) == 4
    assert "\nTrue\n" in printed, "the original did not come back"
    assert "Not drawn:" in printed, "real data were not asked for politely"


def test_the_notebook_on_forecasting_needs_no_fleet_and_no_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OSSA_DATA", str(tmp_path))
    for name in ("OSSA_URL", "OSSA_API_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    _, outputs = run("forecasting.ipynb", tmp_path)
    printed = "".join(output.get("text", "") for output in outputs)
    assert pictures(outputs) == 5
    assert "Not drawn:" in printed, "real data were not asked for politely"
    waited = {name: int(count) for name, count in re.findall(r"^(rules[a-z ]*?) +(\d+) of [\d,]+ turns", printed, re.M)}
    assert waited["rules and forecast"] < waited["rules alone"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
