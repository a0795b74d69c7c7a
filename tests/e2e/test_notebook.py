"""The quickstart runs from top to bottom against a fleet and draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_fleet import BenchFleet
from tests.support.notebooks import pictures, run


def test_the_quickstart_runs_and_draws(fleet: BenchFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OSSA_URL", fleet.url)
    monkeypatch.setenv("OSSA_API_KEY", fleet.api_key)
    written, outputs = run("quickstart.ipynb", tmp_path)
    assert pictures(outputs) >= 1
    assert fleet.api_key not in written
