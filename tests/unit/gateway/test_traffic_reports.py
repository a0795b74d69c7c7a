"""What a gateway tells the scaler of the requests it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.scaling import PoolTraffic, TrafficReport
from ossa.contracts.task import ErrorInfo, Outcome, TaskStatus
from ossa.gateway.extensions.traffic.meter import TrafficMeter, TrafficMetrics
from ossa.gateway.extensions.traffic.reports import TrafficReports
from ossa.testing.gateway import FakeFleet, FakeLink, eventually
from ossa.testing.stores import MemoryStores


def reports_of(rig: Any, *, every_s: float = 60.0) -> TrafficReports:
    core = rig.context.core
    meter = rig.context.service(TrafficMeter, "traffic")
    return TrafficReports(meter, core, core.metrics.group(TrafficMetrics), every_s=every_s)


async def told(rig: Any) -> dict[str, PoolTraffic]:
    """By pool, since it was last told."""
    await reports_of(rig).tell()
    report: TrafficReport = rig.fleet.reports[-1]
    return {pool.pool: pool for pool in report.pools}


async def test_answered_requests_are_told_of_by_pool(rig: Any) -> None:
    for model in ("pool/security", "pool/security", "agent/intelligence-000"):
        assert (await rig.ask(model=model)).status_code == 200
    seen = await told(rig)
    assert {name: (pool.arrivals, pool.ended, pool.failed, pool.queued) for name, pool in seen.items()} == {
        "security": (2, 2, 0, 0),
        "intelligence": (1, 1, 0, 0),
    }
    assert len(seen["security"].waits_s) == len(seen["security"].turns_s) == 2
    assert await told(rig) == {}
    assert rig.fleet.reports[-1].seconds > 0


async def test_auto_is_the_pool_that_answered(rig: Any) -> None:
    answer = await rig.ask()
    assert {name: pool.arrivals for name, pool in (await told(rig)).items()} == {answer.headers["x-ossa-pool"]: 1}


async def test_a_full_pool_shows_who_waits_and_then_that_nobody_was_free(open_rig: Callable[..., Any]) -> None:
    rig = await open_rig(fleet=FakeFleet.of({"security": 1}, slots=1), busy_wait_s=0.5)
    rig.link.hold()
    first = asyncio.create_task(rig.ask(model="pool/security"))
    await eventually(lambda: rig.link.running)
    second = asyncio.create_task(rig.ask(model="pool/security"))
    await eventually(lambda: rig.context.service(TrafficMeter, "traffic").waiting(rig.context.core.index()))
    metrics = (await rig.call("GET", "/metrics")).text
    assert 'ossa_gateway_waiting_turns{pool="security",replica="gateway"} 1.0' in metrics
    seen = (await told(rig))["security"]
    assert (seen.arrivals, seen.queued, seen.ended) == (2, 1, 0)
    assert (await second).status_code == 429
    seen = (await told(rig))["security"]
    assert (seen.arrivals, seen.queued, seen.ended, seen.failed) == (0, 0, 1, 1)
    rig.link.let_go()
    assert (await first).status_code == 200
    metrics = (await rig.call("GET", "/metrics")).text
    assert 'ossa_gateway_queue_wait_seconds_count{pool="security",replica="gateway"} 1.0' in metrics


async def test_an_agent_that_dies_makes_one_turn_of_it(open_rig: Callable[..., Any]) -> None:
    rig = await open_rig(link=FakeLink(steps=1))
    rig.link.die_at_step("security-000", 1)
    asked = 0
    while not rig.fleet.lost and asked < 50:
        asked += 1
        assert (await rig.ask(model="pool/security")).status_code == 200
        await asyncio.sleep(0)
    assert rig.fleet.lost
    seen = (await told(rig))["security"]
    assert (seen.arrivals, seen.ended, seen.failed) == (asked, asked, 0)
    assert len(seen.waits_s) == len(seen.turns_s) == asked


async def test_a_models_failure_is_a_failed_turn_and_a_callers_mistake_is_none(rig: Any) -> None:
    for code in ("model_failed", "model_rejected"):
        rig.link.end_with(Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code=code, message="no")))
        assert (await rig.ask(model="pool/security")).status_code >= 400
    assert (await rig.ask(model="pool/nowhere")).status_code == 404
    seen = await told(rig)
    assert (seen["security"].ended, seen["security"].failed) == (2, 1)
    assert set(seen) == {"security"}


async def test_a_backlog_that_nobody_may_claim_is_told_by_one_replica_of_two(open_rig: Callable[..., Any]) -> None:
    stores, fleet, link = MemoryStores(), FakeFleet.of({"security": 1}, slots=1), FakeLink()
    rigs = [await open_rig(stores=stores, fleet=fleet, link=link) for _ in range(2)]
    link.hold()
    for number in range(5):
        body = {"model": "pool/security", "input": f"work {number}"}
        assert (await rigs[number % 2].call("POST", "/api/v1/tasks", body)).status_code == 202
    await eventually(lambda: link.running == 2)  # the agent's only seat, as each of the two knows it
    seen = [(await told(rig)).get("security", PoolTraffic(pool="security")) for rig in rigs]
    assert sum(pool.arrivals for pool in seen) == 5
    assert sorted(pool.queued for pool in seen) == [0, 3]
    link.let_go()
    for task in await stores.journal.tasks(tenant="default"):
        await rigs[0].ended(task.id)
    seen = [(await told(rig)).get("security", PoolTraffic(pool="security")) for rig in rigs]
    assert sum(pool.arrivals for pool in seen) == sum(pool.queued for pool in seen) == 0
    assert sum(pool.ended for pool in seen) == 5


async def test_a_key_that_is_sent_again_is_one_turn(rig: Any) -> None:
    for _ in range(3):
        assert (await rig.ask(model="pool/security", headers={"idempotency-key": "k"})).status_code == 200
    seen = (await told(rig))["security"]
    assert (seen.arrivals, seen.ended) == (1, 1)


async def test_one_who_hangs_up_leaves_nothing_waiting_or_running(open_rig: Callable[..., Any]) -> None:
    rig = await open_rig(fleet=FakeFleet.of({"security": 1}, slots=1), busy_wait_s=30.0)
    rig.link.hold()
    asked = [asyncio.create_task(rig.ask(model="pool/security")) for _ in range(2)]
    await eventually(lambda: rig.link.running)
    await eventually(lambda: rig.context.service(TrafficMeter, "traffic").waiting(rig.context.core.index()))
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await eventually(lambda: not rig.dispatcher.running)
    seen = (await told(rig))["security"]
    assert (seen.arrivals, seen.ended, seen.failed, seen.queued) == (2, 1, 0, 0)
    assert await told(rig) == {}


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("broken")])
async def test_a_report_that_fails_hurts_no_request_and_is_counted(rig: Any, error: Exception) -> None:
    chore = asyncio.create_task(reports_of(rig, every_s=0.001).run_forever())
    rig.fleet.deafen(error)
    failed = rig.context.core.metrics.group(TrafficMetrics).reports.labels("failed")
    await eventually(lambda: failed._value.get() >= 2)
    assert (await rig.ask()).status_code == 200
    rig.fleet.deafen(None)
    await eventually(lambda: len(rig.fleet.reports) >= 2)
    chore.cancel()
    await asyncio.gather(chore, return_exceptions=True)


async def test_a_journal_that_is_away_leaves_the_rest_of_the_report(rig: Any) -> None:
    assert (await rig.ask(model="pool/security")).status_code == 200
    rig.stores.go_down()
    assert (await told(rig))["security"].ended == 1
    rig.stores.come_back()


async def test_before_the_fleet_is_known_nobody_is_told(rig: Any) -> None:
    assert (await rig.ask(model="pool/security")).status_code == 200
    rig.fleet.hide()
    await reports_of(rig).tell()
    assert rig.fleet.reports == []
    rig.fleet.show()
    assert (await told(rig))["security"].ended == 1


async def test_the_gateway_reports_by_itself(open_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.gateway.extensions.traffic.SAMPLE_S", 0.01)
    rig = await open_rig()
    assert (await rig.ask(model="pool/security")).status_code == 200
    await eventually(lambda: any(report.pools for report in rig.fleet.reports))
    names = {report.replica for report in rig.fleet.reports}
    assert len(names) == 1
    assert names.pop().startswith("gateway-")
