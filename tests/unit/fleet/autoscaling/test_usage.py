"""What agents use is a share of what they reserved, and an agent that does not answer says nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.task import Assignment
from ossa.fleet.autoscaling.scaler import UsageSampler
from ossa.fleet.cluster import AgentReport, ProcessGone
from ossa.fleet.state import ProcessState
from ossa.fleet.supervisor import AgentProcess


class _Process:
    def __init__(self) -> None:
        self.clock_s, self.cpu_s, self.memory = 100.0, 5.0, 0.5
        self.gone = False

    async def describe(self, timeout_s: float) -> AgentReport:
        if self.gone:
            raise ProcessGone("killed")
        return AgentReport(
            incarnation="i",
            block="b",
            pid=1,
            node_id="n",
            address="127.0.0.1:9",
            clock_s=self.clock_s,
            cpu_s=self.cpu_s,
            memory=self.memory,
            started_at=datetime.now(UTC),
        )


def _process(process: Any, number: int = 0) -> AgentProcess:
    spec = AgentSpec(name="m", dialect="ossa/v0.5.0", digest="d")
    who = Assignment(agent_id=f"security-{number:03d}", pool="security", spec=spec)
    return AgentProcess(f"i{number}", "b", ProcessState.READY, 0.0, handle=process, assignment=who)


async def test_cpu_is_a_share_of_what_an_agent_reserved() -> None:
    sampler, process = UsageSampler(cpus_per_agent=0.5), _Process()
    processes = [_process(process)]
    first = await sampler.sample(processes)
    assert first["security"].cpu is None  # nothing to compare with yet
    process.clock_s += 10
    process.cpu_s += 2.5
    assert (await sampler.sample(processes))["security"].cpu == pytest.approx(0.5)
    assert first["security"].memory == pytest.approx(0.5)


async def test_a_dead_agent_is_left_out_of_the_mean() -> None:
    sampler, alive, dead = UsageSampler(cpus_per_agent=1.0), _Process(), _Process()
    processes = [_process(alive, 1), _process(dead, 2)]
    await sampler.sample(processes)
    alive.clock_s += 10
    alive.cpu_s += 8
    dead.gone = True
    assert (await sampler.sample(processes))["security"].cpu == pytest.approx(0.8)


async def test_standbys_and_starting_agents_are_of_no_pool() -> None:
    standby = AgentProcess("s", "b", ProcessState.READY, 0.0, handle=_Process())  # type: ignore[arg-type]
    starting = _process(_Process())
    starting.state = ProcessState.STARTING
    assert await UsageSampler(1.0).sample([standby, starting]) == {}
