"""Counters that are counted from facts: each fact by one of two replicas."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from ossa.contracts.task import NewTask, TaskRequest
from ossa.testing.gateway import FakeFleet, eventually
from ossa.testing.stores import MemoryStores

pytestmark = pytest.mark.asyncio


async def total(replicas: list[Any], series: str) -> float:
    """The sum of a counter's samples over replicas, as Prometheus adds them."""
    found = 0.0
    for rig in replicas:
        text = (await rig.http.get("/metrics")).text
        found += sum(float(value) for value in re.findall(rf"^{series}{{[^}}]*}} (\S+)$", text, re.MULTILINE))
    return found


async def test_two_replicas_count_each_end_once_whoever_ran_the_task(open_rig: Any) -> None:
    first = await open_rig()
    second = await open_rig(stores=first.stores, fleet=first.fleet, link=first.link)
    replicas = [first, second]
    # Two that have one name, as replicas on two nodes may, are two members of a group.
    assert first.context.core.log._owner != second.context.core.log._owner
    for turn in range(8):
        assert (await replicas[turn % 2].ask()).status_code == 200

    async def counted() -> bool:
        return await total(replicas, "ossa_gateway_tasks_total") >= 8

    await eventually(counted)
    assert await total(replicas, "ossa_gateway_tasks_total") == 8
    usages = [task.outcome.usage for task in await first.stores.journal.tasks(tenant="default", limit=100)]
    tokens = sum(usage.prompt_tokens + usage.completion_tokens for usage in usages)
    assert await total(replicas, "ossa_gateway_tokens_total") == tokens > 0
    cost = sum(usage.cost_usd for usage in usages)
    assert await total(replicas, "ossa_gateway_cost_usd_total") == pytest.approx(cost)


async def test_what_no_replica_ran_is_counted(open_rig: Any) -> None:
    stores = MemoryStores()
    request = TaskRequest(messages=[{"role": "user", "content": "x"}], parameters={})
    new = NewTask(id="task_" + "1" * 32, tenant="acme", request=request)
    await stores.journal.accept(new, owner=None)
    await stores.journal.request_cancel(new.id, tenant="acme")
    rig = await open_rig(stores=stores)

    async def counted() -> bool:
        text = (await rig.http.get("/metrics")).text
        return bool(re.search(r'ossa_gateway_tasks_total{[^}]*status="cancelled"} 1.0', text))

    await eventually(counted)


@pytest.mark.parametrize("agents", [2, 1], ids=["taken over", "given up"])
async def test_each_turn_whose_agent_was_lost_is_a_takeover(open_rig: Any, agents: int) -> None:
    rig = await open_rig(fleet=FakeFleet.of({"security": agents}), max_attempts=agents)
    rig.link.die_at_step("security-000", 0)
    if agents == 2:
        rig.fleet.remove("security-001")
        asked = asyncio.create_task(rig.ask())
        await eventually(lambda: rig.fleet.lost)
        rig.fleet.replace("security-000")
        assert (await asked).status_code == 200
    else:
        assert (await rig.ask()).status_code == 503

    async def counted() -> bool:
        return await total([rig], "ossa_gateway_takeovers_total") == len(rig.fleet.lost) == 1

    await eventually(counted)
