"""The command over a fleet in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ossa.cli.application import app
from ossa.cli.session import Wiring
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Step, Turn
from ossa.contracts.turn import OnSteps, TurnResult
from ossa.sdk.client import Client
from ossa.sdk.connection import Connection
from ossa.testing.app import FakeGateway
from ossa.testing.bus import MemoryBus
from ossa.testing.gateway import FakeLink


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


class ToolLink(FakeLink):
    """Its agents use the calculator before they answer."""

    async def run(self, agent: AgentInfo, turn: Turn, *, on_steps: OnSteps, **callbacks: Any) -> TurnResult:
        payload = {"call_id": "call_0", "name": "calculator", "content": "4", "is_error": False}
        used = Step(
            seq=len(turn.steps),
            kind="tool_result",
            agent_id=agent.agent_id,
            payload=payload,
            at=datetime.now(UTC),
        )
        await on_steps([used])
        turn = turn.model_copy(update={"steps": (*turn.steps, used)})
        return await super().run(agent, turn, on_steps=on_steps, **callbacks)


@pytest.fixture
def fleet() -> Iterator[FakeGateway]:
    fleet = FakeGateway(link=ToolLink("hello"))
    yield fleet
    fleet.stop()


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
