"""What the controller tells of its agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.events import SYSTEM_TENANT, Event
from ossa.contracts.fleet import DesiredAgent
from ossa.contracts.origin import Origin, acting
from ossa.events import fact_queue
from tests.unit.fleet.world import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.controller.open()
    yield made
    made.controller.supervisor.close()


async def facts(bench: Bench) -> list[Event]:
    """Every fact of agents so far, once it is told."""
    assert await bench.controller._told.settle(10)
    page = await bench.stores.facts.read(0, limit=10_000)
    events = [item.content for item in page.items if isinstance(item.content, Event)]
    return [event for event in events if event.type.startswith("ossa.agent.")]


def short(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.type.split(".")[2], event.subject.removeprefix("agent/")) for event in events]


def incarnation(bench: Bench, place: str) -> str:
    return next(p.incarnation for p in bench.cluster.alive() if p.info is not None and p.info.agent_id == place)


async def test_an_agent_that_is_ready_is_told_with_process_node_and_what_asked_for_it(bench: Bench) -> None:
    await bench.has("security", 2)
    told = await facts(bench)
    assert short(told) == [("ready", "security-000"), ("ready", "security-001")]
    first = told[0]
    assert first.data.pop("version", "")
    assert first.data == {
        "agent": "security-000",
        "pool": "security",
        "manifest": "security-agent",
        "incarnation": incarnation(bench, "security-000"),
        "node": "node",
        "pid": 1,
        "cause": "operation/op_security_2",
    }
    assert (first.tenant, first.actor) == (SYSTEM_TENANT, "system/controller")
    assert first.time.timestamp() == bench.controller.supervisor.holder("security-000").since  # type: ignore[union-attr]


async def test_agents_that_are_ready_together_make_one_row(bench: Bench) -> None:
    await bench.has("security", 20)
    await facts(bench)
    rows = [row for row in bench.stores.facts._rows if any("ready" in str(item.content) for item in row.items)]
    assert len(rows) <= 2


async def test_a_lost_agent_and_its_replacement_are_told_in_this_order_with_the_reason(bench: Bench) -> None:
    await bench.has("security", 2)
    before, old = len(await facts(bench)), incarnation(bench, "security-001")
    bench.cluster.die(old)
    await bench.until(lambda: len(bench.cluster.alive()) == 2)
    lost, ready, replaced = (await facts(bench))[before:]
    assert short([lost, ready, replaced]) == [(kind, "security-001") for kind in ("lost", "ready", "replaced")]
    assert (lost.data["incarnation"], lost.data["outcome"], lost.data["node"]) == (old, "failed", "node")
    assert lost.data["reason"] == replaced.data["reason"] == "killed by the test"
    assert ready.data["predecessor"] == replaced.data["incarnation"] == old
    assert replaced.data["successor"] == ready.data["incarnation"] == incarnation(bench, "security-001")
    assert "cause" not in ready.data


async def test_a_hung_agent_that_is_killed_is_lost(bench: Bench) -> None:
    await bench.has("security", 1)
    (hung,) = bench.cluster.alive()
    hung.hung = True
    await bench.controller.report_lost("security-000", hung.incarnation, "no answer")
    await bench.until(lambda: [p for p in bench.cluster.alive() if p is not hung] != [])
    told = await facts(bench)
    assert short(told)[1:] == [(kind, "security-000") for kind in ("lost", "ready", "replaced")]
    assert told[1].data["reason"].startswith("no sign of life")


async def test_a_smaller_pool_s_agents_are_removed_for_the_operation_that_made_it_smaller(bench: Bench) -> None:
    await bench.has("security", 2)
    await bench.has("security", 1)
    removed = (await facts(bench))[-1]
    assert short([removed]) == [("removed", "security-001")]
    assert (removed.data["reason"], removed.data["cause"]) == ("no longer desired", "operation/op_security_1")


async def test_a_drained_agent_is_replaced_and_not_removed(bench: Bench) -> None:
    await bench.has("security", 1)
    old = incarnation(bench, "security-000")
    await bench.controller.submit("op_drain", "drain", {"agent_id": "security-000"}, "acme")
    await bench.until(lambda: bench.operation("op_drain").status == "succeeded")
    told = await facts(bench)
    assert short(told) == [(kind, "security-000") for kind in ("ready", "ready", "replaced")]
    assert told[2].data["incarnation"] == old
    assert told[2].data["cause"] == "operation/op_drain"


async def test_a_tenant_s_own_agent_is_told_to_that_tenant(bench: Bench) -> None:
    spec = AgentSpec(name="mine", dialect="ossa/v0.5.0", digest="d1")
    await bench.has("security", 1)
    await bench.controller.spawn_agent(DesiredAgent(agent_id="mine-1", pool="security", tenant="acme", spec=spec))
    await bench.until(lambda: "mine-1" in bench.places())
    await bench.controller.remove_agent("mine-1", "acme")
    await bench.until(lambda: "mine-1" not in bench.places())
    own = [event for event in await facts(bench) if event.subject == "agent/mine-1"]
    assert [kind for kind, _ in short(own)] == ["declared", "ready", "withdrawn", "removed"]
    assert {event.tenant for event in own} == {"acme"}
    assert (own[1].data["tenant"], own[1].data["manifest"]) == ("acme", "mine")


async def test_an_agent_that_cannot_be_started_is_told_once_for_each_reason(bench: Bench) -> None:
    bench.cluster.failing.add("security-000")
    await bench.size("security", 1)
    for _ in range(20):
        await bench.turn()
    told = await facts(bench)
    assert short(told) == [("failed", "security-000")]
    assert told[0].data["outcome"] == "failed"
    assert told[0].data["reason"]


async def test_what_was_lost_while_no_controller_ran_is_told_by_the_next_one(bench: Bench) -> None:
    await bench.has("security", 3)
    before = await facts(bench)
    dead = incarnation(bench, "security-001")
    bench.cluster.die(dead)
    bench.controller.supervisor.close()
    bench.controller = bench._controller()
    await bench.controller.open()
    told = (await facts(bench))[len(before) :]
    assert short(told) == [("lost", "security-001")]
    assert told[0].data["incarnation"] == dead
    assert (told[0].data["pool"], told[0].data["node"]) == ("security", "node")
    await bench.until(lambda: len(bench.cluster.alive()) == 3)
    told = (await facts(bench))[len(before) :]
    assert short(told) == [(kind, "security-001") for kind in ("lost", "ready", "replaced")]


async def test_what_became_ready_and_was_not_told_is_told_by_the_next_controller(bench: Bench) -> None:
    bench.stores.facts.tell = _never  # type: ignore[method-assign]
    await bench.has("security", 2)
    del bench.stores.facts.tell
    bench.controller._told.close()
    await bench.restart()
    told = await facts(bench)
    assert sorted(short(told)) == [("ready", "security-000"), ("ready", "security-001")]
    await bench.restart()
    assert await facts(bench) == told


async def _never(facts: object) -> None:
    await asyncio.Event().wait()


async def test_a_store_that_is_away_delays_facts_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fact_queue, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(fact_queue, "_LONGEST_PAUSE_S", 0.005)
    await bench.has("security", 2)
    before = len(await facts(bench))
    bench.stores.facts.go_down()
    bench.cluster.die(incarnation(bench, "security-001"))
    await bench.until(lambda: len(bench.cluster.alive()) == 2)
    bench.stores.facts.come_back()
    told = (await facts(bench))[before:]
    assert short(told) == [(kind, "security-001") for kind in ("lost", "ready", "replaced")]


async def test_a_report_s_request_is_found_in_the_loss_that_it_led_to(bench: Bench) -> None:
    await bench.has("security", 1)
    (hung,) = bench.cluster.alive()
    hung.hung = True
    with acting(Origin(actor="system/gateway", request_id="r-1", traceparent="t-1")):
        await bench.controller.report_lost("security-000", hung.incarnation, "no answer")
    lost = (await facts(bench))[1]
    assert (lost.type, lost.actor, lost.requestid, lost.traceparent) == (
        "ossa.agent.lost.v1", "system/controller", "r-1", "t-1",
    )  # fmt: skip
