"""The scaler on a real Ray cluster: what it decides is done, and outlives the controller and the predictor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import ray

from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.scaling import SAMPLE_S, PoolTraffic, ScaleRules, ScalingStatus, TrafficReport
from ossa.fleet import ControllerConfig, FleetClient, start_controller, stop_fleet
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores import MemoryStores

NAMESPACE = "scaling-tests"
GET_THERE_S = 90.0
SCALING = ScalingSettings(mode="on", rules=ScaleRules(fleet_floor=0, fleet_ceiling=12))


def _tools() -> Any:
    """The folder's conftest; pytest does not make it importable."""
    return next(module for name, module in sys.modules.items() if name.endswith("integration.fleet.conftest"))


class _Gateway:
    """Reports as a replica does, until it is cancelled."""

    def __init__(self, client: FleetClient) -> None:
        self._client = client

    async def run(self) -> None:
        pool = PoolTraffic(pool="security", running_s=SAMPLE_S)
        while True:
            try:
                await self._client.report_traffic(TrafficReport(replica="a", seconds=SAMPLE_S, pools=(pool,)))
            except Exception:
                await asyncio.sleep(0.5)  # the controller was killed; the next report comes soon
            await asyncio.sleep(2.0)


@pytest.fixture(scope="module")
async def client(cluster: Any, make_stores: Callable[[], PostgresStores]) -> AsyncIterator[FleetClient]:
    settings = FleetSettings(namespace=NAMESPACE, standby=1, block_agents=2, reconcile_interval_s=0.5)
    tools = _tools()
    config = ControllerConfig(
        settings,
        tools.build_echo,
        make_stores,
        {"security": (tools.manifest(),)},
        scaling=SCALING,
        predictor_stores=MemoryStores,
    )
    start_controller(config)
    made = FleetClient(NAMESPACE)
    await made.start()
    gateway = asyncio.create_task(_Gateway(made).run())
    yield made
    gateway.cancel()
    await made.close()
    stop_fleet(NAMESPACE)
    assert not [row for row in ray.util.list_named_actors(all_namespaces=True) if row["namespace"] == NAMESPACE]


async def _until(client: FleetClient, holds: Callable[[ScalingStatus], bool]) -> ScalingStatus:
    async with asyncio.timeout(GET_THERE_S):
        while True:
            status = await client.scaling()
            if holds(status):
                return status
            await asyncio.sleep(0.3)


def _size(status: ScalingStatus) -> int:
    return next((pool.size for pool in status.pools if pool.pool == "security"), 0)


async def test_an_alert_grows_the_pool_at_once_and_the_agents_come_up(client: FleetClient) -> None:
    await client.submit("spawn-pool", {"pool_type": "security", "agent_count": 2}, tenant="acme")
    await client.wait_until(lambda s: sum(pool.ready for pool in s.pools) == 2, GET_THERE_S)
    status = await _until(client, lambda s: s.at is not None and not s.trouble)
    assert _size(status) == 2
    await client.alert(["security"], for_s=600)
    await _until(client, lambda s: _size(s) == 10)
    await client.wait_until(lambda s: sum(pool.ready for pool in s.pools) == 10, GET_THERE_S)


async def test_agents_say_what_they_use(client: FleetClient) -> None:
    def measured(status: ScalingStatus) -> bool:
        sample = status.pools[0].sample if status.pools else None
        return sample is not None and sample.cpu is not None and sample.memory is not None

    sample = (await _until(client, measured)).pools[0].sample
    assert sample is not None and sample.memory is not None and sample.cpu is not None
    assert 0 < sample.memory <= 1
    assert 0 <= sample.cpu < 5
    assert sample.running == pytest.approx(1.0)


async def test_the_same_alert_scales_once_also_when_the_controller_was_killed(client: FleetClient) -> None:
    os.kill(_tools().controller_pid(), signal.SIGKILL)
    await client.alert(["security"], for_s=600)
    status = await _until(client, lambda s: s.decision is not None)
    assert _size(status) == 10
    assert status.pools[0].watch_s > 0


async def test_a_killed_predictor_stops_no_decision(client: FleetClient) -> None:
    await _until(client, lambda s: "simple" in s.predictor or "no minute" in s.predictor)
    os.kill(_tools().actor_pid("ForecasterActor"), signal.SIGKILL)
    before = (await client.scaling()).at
    status = await _until(client, lambda s: s.at != before and s.decision is not None)
    assert not status.trouble
