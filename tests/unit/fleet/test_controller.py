"""The controller over a cluster that is only memory, stepped by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.fleet import AgentState, DesiredAgent, FleetSnapshot, Operation
from ossa.contracts.origin import NOWHERE, Origin, acting, current_origin
from ossa.scaling.decision import PoolState, ScalerState
from tests.unit.fleet.world import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.controller.open()
    yield made
    made.controller.supervisor.close()


async def test_deploying_a_phase_fills_all_pools_in_the_ratio(bench: Bench) -> None:
    request = {"phase": "phase4-enterprise-analytics", "target_agents": 20}
    await bench.controller.submit("op_1", "deploy-phase", request, "acme")
    await bench.until(lambda: bench.operation("op_1").status == "succeeded")
    sizes = {pool.name: pool.ready for pool in (await bench.snapshot()).pools}
    assert sum(sizes.values()) == 20
    assert sizes == {name: counts["wanted"] for name, counts in bench.operation("op_1").progress.items()}


async def test_the_missions_scale_call_reads_its_target(bench: Bench) -> None:
    request = {"target": "12-agent-enterprise", "kubernetes_nodes": 12}
    await bench.controller.submit("op_1", "scale-to-phase4", request, "acme")
    await bench.until(lambda: bench.operation("op_1").status == "succeeded")
    assert len((await bench.snapshot()).agents) == 12


async def test_the_enterprise_analytics_pool_is_the_intelligence_pool(bench: Bench) -> None:
    await bench.controller.submit("op_1", "spawn-pool", {"pool_type": "enterprise-analytics", "agent_count": 1}, "acme")
    await bench.until(lambda: bench.operation("op_1").status == "succeeded")
    assert bench.places() == ["intelligence-000"]


@pytest.mark.parametrize(
    ("kind", "wrong", "field"),
    [
        ("deploy-phase", {"phase": "phase9", "target_agents": 20}, "phase"),
        ("deploy-phase", {"phase": "phase4-enterprise-analytics", "target_agents": 4}, "target_agents"),
        ("deploy-phase", {"phase": "phase4-enterprise-analytics", "target_agents": True}, "target_agents"),
        ("spawn-pool", {"pool_type": "nope", "agent_count": 1}, "pool_type"),
        ("spawn-pool", {"pool_type": "security", "agent_count": -1}, "agent_count"),
        ("scale-to-phase4", {"target": "many", "kubernetes_nodes": 1}, "target"),
        ("scale-to-phase4", {"target": "200-agent-enterprise"}, "kubernetes_nodes"),
        ("apply", {"pool": "security", "manifest": {"dialect": "x"}}, "manifest.name"),
        ("drain", {}, "agent_id"),
    ],
)
async def test_a_wrong_request_names_the_field(bench: Bench, kind: Any, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await bench.controller.submit("op_1", kind, wrong, "acme")
    assert caught.value.param == field
    assert "op_1" not in bench.stores.fleet.saved_operations


async def test_the_same_operation_submitted_again_is_the_same(bench: Bench) -> None:
    first = await bench.size("security", 2)
    assert await bench.size("security", 2) == first


ASKED = Origin(actor="key/k1", tenant="acme", request_id="mine-1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")


def watch_saves(bench: Bench) -> list[tuple[str, Origin]]:
    """Every operation that is saved from now on: its status, and under which origin it was saved."""
    saves: list[tuple[str, Origin]] = []
    save = bench.stores.fleet.save_operation

    async def watched(operation: Operation) -> None:
        saves.append((operation.status, current_origin()))
        await save(operation)

    bench.stores.fleet.save_operation = watched  # type: ignore[method-assign]
    return saves


async def test_an_operation_is_carried_to_its_end_under_the_origin_of_its_request(bench: Bench) -> None:
    saves = watch_saves(bench)
    with acting(ASKED):
        await bench.size("security", 2)
    await bench.until(lambda: bench.operation("op_security_2").status == "succeeded")
    assert {status for status, _ in saves} == {"pending", "running", "succeeded"}
    assert {origin for _, origin in saves} == {ASKED}
    ended = bench.operation("op_security_2")
    assert (ended.request_id, ended.traceparent, ended.actor) == ("mine-1", ASKED.traceparent, "key/k1")
    assert current_origin() == NOWHERE


async def test_a_controller_that_comes_back_goes_on_under_the_origin_of_the_request(bench: Bench) -> None:
    with acting(ASKED):
        left = await bench.size("security", 2)
    await bench.stores.fleet.save_operation(left.model_copy(update={"status": "pending"}))
    saves = watch_saves(bench)
    await bench.restart()
    await bench.until(lambda: bench.operation("op_security_2").status == "succeeded")
    assert {status for status, _ in saves} == {"running", "succeeded"}
    assert {origin for _, origin in saves} == {ASKED}


async def test_an_operation_of_an_older_version_ends_as_the_controllers_own_act(bench: Bench) -> None:
    saves = watch_saves(bench)
    old = await bench.size("security", 1)
    assert b"request_id" not in old.json_bytes()
    await bench.until(lambda: bench.operation("op_security_1").status == "succeeded")
    assert saves[-1] == ("succeeded", Origin(actor="system/controller", tenant="acme"))


async def test_a_later_size_of_a_pool_ends_the_earlier_operation(bench: Bench) -> None:
    await bench.size("security", 3)
    await bench.has("security", 1)
    earlier = bench.operation("op_security_3")
    assert earlier.status == "failed"
    assert earlier.error is not None
    assert earlier.error.code == "conflict"


async def test_a_dead_agent_is_replaced_under_the_same_id(bench: Bench) -> None:
    await bench.has("security", 2)
    victim = bench.cluster.alive()[0]
    bench.clock.time += 60
    bench.cluster.die(victim.incarnation)
    await bench.until(lambda: len(bench.cluster.alive()) == 2)
    assert bench.places() == ["security-000", "security-001"]
    assert victim.incarnation not in {process.incarnation for process in bench.cluster.alive()}


async def test_a_controller_that_comes_back_adopts_what_lives(bench: Bench) -> None:
    await bench.has("security", 3)
    before = {process.incarnation for process in bench.cluster.alive()}
    version = (await bench.snapshot()).version
    bench.clock.time += 1
    await bench.restart()
    await bench.turn()
    assert {process.incarnation for process in bench.cluster.alive()} == before
    after = await bench.snapshot()
    assert after.version > version
    assert [agent.state for agent in after.agents] == [AgentState.READY] * 3


async def test_a_controller_that_comes_back_ends_an_operation_left_open(bench: Bench) -> None:
    bench.cluster.hold_starts = True
    await bench.size("security", 2)
    await bench.turn()
    bench.cluster.release_starts()
    await bench.restart()
    await bench.until(lambda: bench.operation("op_security_2").status == "succeeded")
    assert bench.places() == ["security-000", "security-001"]


async def test_a_process_that_is_nobodys_is_killed(bench: Bench) -> None:
    await bench.has("security", 1)
    (own,) = bench.cluster.alive()
    stray = await bench.cluster.start(own.launch.model_copy(update={"incarnation": "stray"}))
    await bench.restart()
    await bench.until(lambda: len(bench.cluster.alive()) == 1)
    stray = await bench.cluster.start(own.launch.model_copy(update={"incarnation": "stray2"}))
    await bench.controller.supervisor.sweep()
    await bench.controller.supervisor.sweep()
    assert stray not in bench.cluster.alive()


async def test_an_agent_that_fails_to_start_waits_longer_each_time_and_says_why(bench: Bench) -> None:
    bench.cluster.failing.add("security-000")
    await bench.size("security", 1)
    for _ in range(20):
        await bench.turn()
    tries = bench.cluster.started.count("security-000")
    assert 3 <= tries <= 8
    assert "security-000 failed to start" in (await bench.pool("security")).pending
    bench.cluster.failing.clear()
    await bench.until(lambda: bench.operation("op_security_1").status == "succeeded")
    assert (await bench.pool("security")).pending == ""


async def test_a_full_cluster_is_named_as_the_reason(bench: Bench) -> None:
    bench.cluster.places = 2
    await bench.size("security", 4)
    for _ in range(5):
        await bench.turn()
    pool = await bench.pool("security")
    assert (pool.ready, pool.desired) == (2, 4)
    assert (
        pool.pending == "1 block waits for room: each needs 0.76 CPU on one node, the cluster has 0.76, 0.00 of it free"
    )


async def test_an_operation_that_makes_no_progress_fails_with_the_reason(bench: Bench) -> None:
    bench.cluster.places = 0
    await bench.size("security", 1)
    await bench.until(lambda: bench.operation("op_security_1").status == "failed")
    error = bench.operation("op_security_1").error
    assert error is not None
    assert error.code == "timed_out"
    assert "CPU" in error.message


async def test_a_busy_agent_finishes_its_turns_before_it_goes(bench: Bench) -> None:
    await bench.has("security", 2)
    busy = next(process for process in bench.cluster.alive() if process.place == "security-001")
    busy.turns_ended.clear()
    await bench.size("security", 1)
    for _ in range(3):
        await bench.turn()
    assert busy in bench.cluster.alive()
    assert (await bench.pool("security")).draining == 1
    busy.turns_ended.set()
    await bench.until(lambda: bench.operation("op_security_1").status == "succeeded")
    assert busy not in bench.cluster.alive()


async def test_applying_a_manifest_replaces_every_agent_of_the_pool(bench: Bench) -> None:
    await bench.has("security", 3)
    spec = AgentSpec(name="security-agent", version="2.0.0", dialect="ossa/v0.5.0", digest="d2")
    request = {"pool": "security", "manifest": spec.model_dump(mode="json")}
    await bench.controller.submit("op_apply", "apply", request, "acme")
    await bench.until(lambda: bench.operation("op_apply").status == "succeeded")
    assert {agent.version for agent in (await bench.snapshot()).agents} == {"2.0.0"}
    assert len(bench.cluster.alive()) == 3


async def test_draining_an_agent_replaces_its_process(bench: Bench) -> None:
    await bench.has("security", 2)
    old = next(process for process in bench.cluster.alive() if process.place == "security-000")
    await bench.controller.submit("op_drain", "drain", {"agent_id": "security-000"}, "acme")
    await bench.until(lambda: bench.operation("op_drain").status == "succeeded")
    assert old not in bench.cluster.alive()
    assert bench.places() == ["security-000", "security-001"]


async def test_draining_goes_on_after_the_controller_was_killed(bench: Bench) -> None:
    await bench.has("security", 2)
    old = next(process for process in bench.cluster.alive() if process.place == "security-000")
    await bench.controller.submit("op_drain", "drain", {"agent_id": "security-000"}, "acme")
    await bench.restart()
    await bench.until(lambda: bench.operation("op_drain").status == "succeeded")
    assert old not in bench.cluster.alive()


async def test_draining_an_unknown_agent_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.controller.submit("op_drain", "drain", {"agent_id": "security-099"}, "acme")


async def test_a_standby_that_cannot_become_the_agent_is_killed_and_counts_as_a_failure() -> None:
    bench = Bench()
    bench.settings = FleetSettings(standby=1, block_agents=1)
    bench.controller = bench._controller()
    await bench.controller.open()
    await bench.until(lambda: bench.places() == ["standby"])
    bench.cluster.failing.add("security-000")
    await bench.size("security", 1)
    await bench.turn()
    assert "security-000" in bench.controller.supervisor.failures
    bench.cluster.failing.clear()
    await bench.until(lambda: bench.places() == ["security-000", "standby"])
    bench.controller.supervisor.close()


async def test_a_tenants_own_agent_comes_and_goes(bench: Bench) -> None:
    spec = AgentSpec(name="bot", dialect="ossa/v0.5.0", digest="b1")
    own = DesiredAgent(agent_id="acme-bot", pool="security", tenant="acme", spec=spec)
    await bench.controller.spawn_agent(own)
    await bench.controller.spawn_agent(own)
    await bench.until(lambda: bench.places() == ["acme-bot"])
    with pytest.raises(Conflict):
        await bench.controller.spawn_agent(own.model_copy(update={"tenant": "other"}))
    with pytest.raises(NotFound):
        await bench.controller.remove_agent("acme-bot", "other")
    await bench.controller.remove_agent("acme-bot", "acme")
    await bench.until(lambda: bench.places() == [])


async def test_an_agent_of_a_pool_is_not_removed_by_hand(bench: Bench) -> None:
    await bench.has("security", 1)
    with pytest.raises(Conflict):
        await bench.controller.remove_agent("security-000", "acme")


async def test_an_agent_reported_lost_that_is_hung_is_replaced(bench: Bench) -> None:
    await bench.has("security", 1)
    (hung,) = bench.cluster.alive()
    hung.hung = True
    await bench.controller.report_lost("security-000", hung.incarnation, "no answer")
    await bench.until(lambda: bench.places() == ["security-000"] and hung not in bench.cluster.alive())


async def test_a_store_that_is_away_refuses_operations_and_leaves_the_fleet_alone(bench: Bench) -> None:
    await bench.has("security", 2)
    bench.stores.go_down()
    with pytest.raises(StoreUnavailable):
        await bench.size("security", 5)
    bench.clock.time += 60
    bench.cluster.die(bench.cluster.alive()[0].incarnation)
    for _ in range(5):
        await bench.turn()
    assert bench.places() == ["security-000", "security-001"]


async def test_stopping_drains_all_and_leaves_no_block(bench: Bench) -> None:
    await bench.has("security", 3)
    await bench.controller.stop()
    assert bench.cluster.alive() == []
    assert await bench.cluster.blocks() == []


async def test_a_snapshot_waits_for_the_next_change(bench: Bench) -> None:
    await bench.has("security", 1)
    version = (await bench.snapshot()).version
    assert await bench.controller.snapshot(version, 0.01) is None
    waiting = asyncio.create_task(bench.controller.snapshot(version, 10))
    await bench.has("security", 2)
    assert FleetSnapshot.model_validate_json(await waiting or b"").version > version


async def test_the_channel_token_is_kept_over_a_restart_and_masked(bench: Bench) -> None:
    await bench.turn()
    token = (await bench.snapshot()).channel_token
    await bench.restart()
    await bench.turn()
    assert (await bench.snapshot()).channel_token == token
    assert token not in repr(await bench.snapshot())


async def test_a_restarted_controller_leaves_lent_standbys_at_their_work(bench: Bench) -> None:
    bench.scaling = ScalingSettings(mode="on")
    bench.settings = bench.settings.model_copy(update={"standby": 2})
    await bench.restart()
    await bench.has("security", 2)
    await bench.until(lambda: bench.places() == ["security-000", "security-001", "standby", "standby"])
    kept = ScalerState(pools={"security": PoolState(cooldown_s=200.0, borrowed_standbys=2)})
    await bench.stores.scaling.save_state(kept.model_dump_json())
    await bench.restart()
    await bench.until(lambda: bench.places() == [f"security-00{number}" for number in range(4)])
    processes = {process.info.incarnation for process in bench.cluster.alive() if process.info}
    await bench.restart()
    for _ in range(5):
        await bench.turn()
    assert bench.places() == [f"security-00{number}" for number in range(4)]
    assert {process.info.incarnation for process in bench.cluster.alive() if process.info} == processes


async def test_a_pool_that_is_lent_to_reaches_its_size_all_the_same(bench: Bench) -> None:
    bench.scaling = ScalingSettings(mode="on")
    bench.settings = bench.settings.model_copy(update={"standby": 1})
    await bench.stores.scaling.save_state(
        ScalerState(pools={"security": PoolState(borrowed_standbys=1)}).model_dump_json()
    )
    await bench.restart()
    await bench.has("security", 4)
    assert (await bench.pool("security")).ready == 5
