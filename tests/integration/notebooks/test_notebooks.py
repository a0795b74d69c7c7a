"""The notebooks that need no fleet run from top to bottom and draw; none is committed with outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.support import FULL
from tests.support.notebooks import NOTEBOOKS, pictures, run


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


@pytest.mark.skipif(not FULL, reason="left out: a minute of training; make test-full")
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
