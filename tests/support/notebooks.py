"""Runs a notebook of this repository from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

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
