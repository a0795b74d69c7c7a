"""The command over a fleet in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ossa.cli.application import app
from ossa.cli.session import Wiring
from ossa.sdk.client import Client
from ossa.sdk.connection import Connection
from ossa.sdk.testing import FakeGateway
from ossa.testing.bus import MemoryBus


@dataclass
class FakeComposition:
    """Stands in for the composition root: keeps what it was asked, returns `code`."""

    code: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def run_up(self, **options: Any) -> int:
        self.asked.append(options)
        return self.code

    def run_down(self, **options: Any) -> int:
        self.asked.append(options)
        return self.code


@pytest.fixture
def fleet() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def composition() -> FakeComposition:
    return FakeComposition()


Run = Callable[..., Result]


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def run(fleet: FakeGateway, composition: FakeComposition, bus: MemoryBus) -> Run:
    """Runs `ossa ARGS...`; a wrong exit code shows what was printed."""

    def connect(url: str | None, api_key: str | None, *, timeout_s: float = 30.0) -> Client:
        return Client(Connection(url=url or "http://fleet"), timeout_s=timeout_s, max_retries=0, transport=fleet)

    def run_command(*arguments: str, expect: int = 0, stdin: str | None = None) -> Result:
        wiring = Wiring(connect=connect, composition=lambda: composition, bus=lambda: bus)
        result = CliRunner().invoke(app, list(arguments), obj=wiring, input=stdin)
        assert result.exit_code == expect, (result.stdout, result.stderr, result.exception)
        return result

    return run_command


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Runs `ossa ARGS... --json` and reads what it printed."""

    def run_command(*arguments: str, expect: int = 0) -> Any:
        return json.loads(run(*arguments, "--json", expect=expect).stdout)

    return run_command
