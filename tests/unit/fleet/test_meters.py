"""What an agent's process counts of its turns."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

from ossa.contracts.task import Outcome, TaskStatus
from ossa.contracts.turn import TurnResult
from ossa.fleet.meters import AgentMeters, MeteredRunner
from ossa.testing.gateway import fake_agent


class Series:
    """A Ray metric that keeps what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.counts[tags.get("hook", "")] += int(value)

    def set(self, value: float, tags: dict[str, str]) -> None: ...

    def observe(self, value: float, tags: dict[str, str]) -> None: ...


class Meters(AgentMeters):
    @cached_property
    def _metrics(self) -> dict[str, Any]:
        return {name: Series() for name in ("turns", "running", "seconds", "tokens", "hook_failures")}


class Runner:
    """A turn whose hook fails each time."""

    def __init__(self) -> None:
        self.hooks = type("Hooks", (), {"failures": Counter()})()

    async def run(self, turn: Any, sink: Any) -> TurnResult:
        self.hooks.failures["Polite"] += 1
        return TurnResult(outcome=Outcome(status=TaskStatus.SUCCEEDED))


async def test_failures_of_hooks_are_counted_once_each() -> None:
    meters = Meters(fake_agent("security-000"))
    runner = MeteredRunner(Runner(), meters)
    for _ in range(3):
        await runner.run(None, None)  # type: ignore[arg-type]
    assert meters._metrics["hook_failures"].counts == {"Polite": 3}
