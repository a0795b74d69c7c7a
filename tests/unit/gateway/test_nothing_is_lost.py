"""Random deaths of agents and owners, seeded: every accepted task ends once and well."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from ossa.contracts.errors import AgentLost, StoreUnavailable
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import TaskStatus, Turn
from ossa.contracts.turn import OnDelta, OnSteps, OnTurnCall, TurnResult
from ossa.testing.gateway import FakeFleet, FakeLink, eventually


class DyingLink(FakeLink):
    """Each turn dies with some probability at a random step; the process is replaced a little later."""

    def __init__(self, rng: random.Random, fleet: FakeFleet) -> None:
        super().__init__(steps=2)
        self._rng = rng
        self._fleet = fleet
        self.deaths = 0

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: OnDelta, on_steps: OnSteps, on_call: OnTurnCall | None = None
    ) -> TurnResult:
        if agent not in self._fleet.snapshot().agents:
            raise AgentLost("this process is gone")
        await asyncio.sleep(self._rng.uniform(0, 0.004))
        if self._rng.random() < 0.4:
            self.deaths += 1
            self.die_at_step(agent.agent_id, self._rng.randrange(3))
            self._fleet.replace(agent.agent_id)
        return await super().run(agent, turn, on_delta=on_delta, on_steps=on_steps)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_accepted_task_ends_once_and_well(open_rig: Any, seed: int) -> None:
    rng = random.Random(seed)
    fleet = FakeFleet.of({"intelligence": 4, "security": 4})
    settings = {"lease_ttl_s": 1.5, "max_queued_tasks": 1000}
    first = await open_rig(fleet=fleet, link=DyingLink(rng, fleet), **settings)
    second = await open_rig(stores=first.stores, fleet=fleet, link=DyingLink(rng, fleet), **settings)
    journal, cut = first.stores.journal, set()
    renew = journal.renew

    async def renewed(owner: str, *, ttl_s: float) -> None:
        if owner in cut:
            raise StoreUnavailable("cut off")
        await renew(owner, ttl_s=ttl_s)

    journal.renew = renewed
    ids = []
    for number in range(40):
        rig = rng.choice((first, second))
        answer = await rig.call("POST", "/api/v1/tasks", {"input": str(number)})
        if answer.status_code == 202:
            ids.append(answer.json()["id"])
        if number in (10, 25):
            cut |= {lease.owner for lease in rig.dispatcher.leases.all}
    assert len(ids) >= 30
    for task_id in ids:
        task = await first.ended(task_id)
        assert task.status is TaskStatus.SUCCEEDED, task.outcome
        steps = await journal.steps(task_id)
        assert [step.seq for step in steps] == list(range(len(steps)))
        assert [step.kind for step in steps if step.kind not in ("takeover", "route")] == [
            "model",
            "tool_call",
            "model",
            "tool_call",
            "model",
        ]
    assert first.link.deaths + second.link.deaths >= 3
    for rig in (first, second):
        await eventually(lambda rig=rig: not rig.dispatcher.scheduler.inflight)
