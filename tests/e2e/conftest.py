"""One real fleet for all end-to-end tests: Ray, PostgreSQL and Serve; a scripted model as upstream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench_fleet import BenchFleet
from benchmarks.effects import ENVIRONMENT
from benchmarks.kill_anywhere import add_tool_everywhere
from benchmarks.ray_node import RayNode
from ossa.testing.models.server import ScriptedProcess


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
def started(upstream: ScriptedProcess, effects: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchFleet]:
    """The fleet without agents."""
    home = str(tmp_path_factory.mktemp("home"))
    tools = {"tool_modules": ("benchmarks.effects",), "block_agents": 2}
    answers = {"enabled": True, "tenants": ("again",), "deadline_s": 5}
    with BenchFleet(home, upstream, agents=5, replicas=2, standby=2, fleet=tools, answers=answers) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def node(started: BenchFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNode]:
    """A second node, which may be killed."""
    node = RayNode(started.ray_address, cpus=4, log=tmp_path_factory.mktemp("node") / "log")
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="session")
def fleet(started: BenchFleet, node: RayNode) -> BenchFleet:
    add_tool_everywhere(started)
    started.deploy()
    return started
