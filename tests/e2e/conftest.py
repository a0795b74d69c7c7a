"""One real fleet for all end-to-end tests: Ray, PostgreSQL and Serve; a scripted model as upstream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench_fleet import BenchFleet
from benchmarks.effects import ENVIRONMENT
from benchmarks.kill_anywhere import add_tool_everywhere
from ossa.testing.models.process import ScriptedProcess


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedProcess]:
    with ScriptedProcess() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def effects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("effects")
    os.environ[ENVIRONMENT] = str(folder)
    return folder


@pytest.fixture(scope="session")
def fleet(upstream: ScriptedProcess, effects: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchFleet]:
    home = str(tmp_path_factory.mktemp("home"))
    tools = {"tool_modules": ("benchmarks.effects",)}
    answers = {"enabled": True, "tenants": ("again",), "deadline_s": 5}
    with BenchFleet(home, upstream, agents=5, fleet=tools, answers=answers) as fleet:
        add_tool_everywhere(fleet)
        fleet.deploy()
        yield fleet
