"""The fleet on a real Ray cluster. In the order of the file the tests share one fleet, to save process starts."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group

from ossa.contracts.errors import FleetBusy, InvalidRequest
from ossa.contracts.fleet import AgentState, FleetSnapshot
from ossa.fleet import stop_fleet


def _tools() -> Any:
    """The names of this folder's conftest; pytest does not make it importable."""
    import sys

    return next(module for name, module in sys.modules.items() if name.endswith("integration.fleet.conftest"))


def pids(snapshot: FleetSnapshot) -> dict[str, int]:
    return {agent.agent_id: agent.pid for agent in snapshot.agents}


async def test_every_agent_of_a_new_pool_is_ready_and_answers(fleet: Any) -> None:
    snapshot = await fleet.has(3)
    answers = await asyncio.gather(*(fleet.ask(agent) for agent in snapshot.agents))
    assert answers == [f"security-{i:03d} v1.0.0" for i in range(3)]
    assert len(fleet.actors()) == 1 + 3 + 1


def looks(pid: int) -> int:
    """How often the process's main thread has woken by itself."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))


async def test_an_idle_agents_main_thread_rests(fleet: Any) -> None:
    """Ray's own loop would look for signals a hundred times a second, in each of two hundred processes."""
    snapshot = await fleet.has(3)
    async with asyncio.timeout(30):
        while True:
            before = {agent.pid: looks(agent.pid) for agent in snapshot.agents}
            await asyncio.sleep(2.0)
            if all(looks(pid) - count < 40 for pid, count in before.items()):
                return


async def test_a_killed_agent_is_taken_over_by_the_standby_without_duplicates(fleet: Any) -> None:
    before = await fleet.has(3)
    victim = before.agents[1]
    os.kill(victim.pid, signal.SIGKILL)
    after = await fleet.until(lambda s: fleet.settled(s, "security", 3) and pids(s)[victim.agent_id] != victim.pid)
    assert await fleet.ask(after.agents[1]) == "security-001 v1.0.0"
    unhurt = {agent: pid for agent, pid in pids(before).items() if agent != victim.agent_id}
    assert unhurt.items() <= pids(after).items()
    assert len(fleet.actors()) == 1 + 3 + 1


async def test_a_killed_controller_comes_back_and_adopts_what_lives(fleet: Any) -> None:
    before = await fleet.has(3)
    os.kill(_tools().controller_pid(), signal.SIGKILL)
    after = await fleet.until(lambda s: s.epoch != before.epoch and fleet.settled(s, "security", 3))
    assert pids(after) == pids(before)
    assert after.version > before.version
    assert await fleet.ask(after.agents[0]) == "security-000 v1.0.0"
    assert len(fleet.actors()) == 1 + 3 + 1


async def test_calls_are_answered_while_the_controller_restarts(fleet: Any) -> None:
    os.kill(_tools().controller_pid(), signal.SIGKILL)
    await fleet.has(3)


async def test_a_new_manifest_rolls_through_the_pool(fleet: Any) -> None:
    await fleet.has(3)
    spec = _tools().manifest(version="2.0.0")
    operation = await fleet.do("apply", {"pool": "security", "manifest": spec.model_dump(mode="json")})
    assert operation.status == "succeeded"
    after = await fleet.until(lambda s: fleet.settled(s, "security", 3))
    answers = await asyncio.gather(*(fleet.ask(agent) for agent in after.agents))
    assert answers == [f"security-{i:03d} v2.0.0" for i in range(3)]


async def test_shrinking_lets_a_running_turn_end(fleet: Any, tmp_path: Path) -> None:
    before = await fleet.has(3)
    gate = tmp_path / "go"
    turn = asyncio.create_task(fleet.ask(before.agents[2], str(gate)))
    shrinking = asyncio.create_task(fleet.has(2))
    await fleet.until(lambda s: any(agent.state is AgentState.DRAINING for agent in s.agents))
    with pytest.raises(FleetBusy):
        while True:  # the agent hears of it a moment after the snapshot says so
            await fleet.ask(before.agents[2])
    assert not turn.done()
    gate.touch()
    assert await turn == "security-002 v2.0.0"
    assert len((await shrinking).agents) == 2


async def test_a_manifest_that_cannot_be_built_is_named_and_does_no_harm(fleet: Any) -> None:
    before = await fleet.has(2)
    broken = _tools().manifest("broken").model_dump(mode="json")
    await fleet.client.submit("apply", {"pool": "community", "manifest": broken}, tenant="acme")
    await fleet.client.submit("spawn-pool", {"pool_type": "community", "agent_count": 2}, tenant="acme")
    after = await fleet.until(lambda s: any("tool that is not there" in pool.pending for pool in s.pools))
    assert pids(before).items() <= pids(after).items()
    await fleet.client.submit("spawn-pool", {"pool_type": "community", "agent_count": 0}, tenant="acme")
    await fleet.until(lambda s: fleet.settled(s, "security", 2) and len(s.agents) == 2)


async def test_a_wrong_request_names_the_field_through_ray(fleet: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await fleet.client.submit("spawn-pool", {"pool_type": "nope", "agent_count": 1}, tenant="acme")
    assert caught.value.param == "pool_type"


async def test_the_agents_of_a_killed_node_are_replaced_elsewhere(fleet: Any) -> None:
    before = await fleet.has(3)
    doomed = next(node for node in fleet.cluster.worker_nodes if any(a.node_id == node.node_id for a in before.agents))
    fleet.cluster.remove_node(doomed, allow_graceful=False)
    fleet.cluster.add_node(num_cpus=3)
    after = await fleet.until(
        lambda s: fleet.settled(s, "security", 3) and all(a.node_id != doomed.node_id for a in s.agents)
    )
    answers = await asyncio.gather(*(fleet.ask(agent) for agent in after.agents))
    assert answers == [f"security-{i:03d} v2.0.0" for i in range(3)]
    stayed = {a.agent_id: a.pid for a in before.agents if a.node_id != doomed.node_id}
    assert stayed.items() <= pids(after).items()
    assert len(fleet.actors()) == 1 + 3 + 1


async def test_stopping_ends_this_fleet_and_nothing_else(fleet: Any) -> None:
    snapshot = await fleet.has(1)
    bystander = placement_group([{"CPU": 0.1}], name="bystander", lifetime="detached")

    @ray.remote(num_cpus=0)
    class Bystander:
        def alive(self) -> bool:
            return True

    other = Bystander.options(name="bystander", namespace="elsewhere", lifetime="detached").remote()
    await asyncio.to_thread(stop_fleet, _tools().NAMESPACE)
    assert fleet.actors() == []
    assert fleet.blocks() == []
    assert await other.alive.remote()
    assert any(row["name"] == "bystander" for row in ray.util.placement_group_table().values())
    assert not psutil.pid_exists(snapshot.agents[0].pid) or psutil.Process(snapshot.agents[0].pid).status() == "zombie"
    remove_placement_group(bystander)
    ray.kill(other)
