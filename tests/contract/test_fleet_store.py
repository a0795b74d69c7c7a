"""What `ossa.contracts.stores.FleetStore` promises, of every store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import NotFound
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool, Operation
from ossa.contracts.stores import Stores

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
SPEC = AgentSpec(name="reader", dialect="ossa/v0.5.0", document={"z": 1, "a": ["x", None, 1.5], "nul": "\0"})


def operation(
    number: int, tenant: str = "acme", status: Literal["pending", "running", "succeeded"] = "pending"
) -> Operation:
    return Operation(
        id=f"op_{number:03}", tenant=tenant, kind="apply", status=status,
        request={"pool": "security"}, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


async def test_a_new_fleet_is_empty(stores: Stores) -> None:
    assert await stores.fleet.load() == DesiredFleet()


async def test_what_is_saved_is_loaded(stores: Stores) -> None:
    agent = DesiredAgent(agent_id="mine-1", pool="community", tenant="acme", spec=SPEC)
    pool = await stores.fleet.save_pool(DesiredPool(name="security", size=40, manifests=(SPEC,)))
    await stores.fleet.save_agent(agent)
    await stores.fleet.save_standby(3)
    await stores.fleet.save_phase("phase4-enterprise-analytics")
    loaded = await stores.fleet.load()
    assert loaded == DesiredFleet(pools=(pool,), agents=(agent,), standby=3, phase="phase4-enterprise-analytics")
    assert list(loaded.pools[0].manifests[0].document) == ["z", "a", "nul"]
    await stores.fleet.remove_agent("mine-1")
    await stores.fleet.remove_agent("mine-1")
    assert (await stores.fleet.load()).agents == ()


async def test_a_pools_revision_grows_with_every_save(stores: Stores) -> None:
    first = await stores.fleet.save_pool(DesiredPool(name="security", size=1))
    second = await stores.fleet.save_pool(DesiredPool(name="security", size=2))
    third = await stores.fleet.save_pool(second.model_copy(update={"size": 3}))
    assert [first.revision, second.revision, third.revision] == [1, 2, 3]
    assert (await stores.fleet.load()).pools == (third,)


async def test_one_of_many_concurrent_callers_sets_the_secret(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.fleet.secret("channel", f"fresh-{n}") for n in range(20)))
    assert len(set(answers)) == 1
    assert await stores.fleet.secret("channel", "late") == answers[0]
    assert await stores.fleet.secret("other", "late") == "late"


async def test_operations_are_replaced_and_listed_newest_first(stores: Stores) -> None:
    for number, tenant in ((1, "acme"), (2, "other"), (3, "acme")):
        await stores.fleet.save_operation(operation(number, tenant))
    await stores.fleet.save_operation(operation(3, "acme", "succeeded"))
    assert [o.id for o in await stores.fleet.operations()] == ["op_003", "op_002", "op_001"]
    assert [o.id for o in await stores.fleet.operations(tenant="acme")] == ["op_003", "op_001"]
    assert [o.id for o in await stores.fleet.operations(tenant="acme", open_only=True)] == ["op_001"]
    assert [o.id for o in await stores.fleet.operations(limit=1)] == ["op_003"]
    assert await stores.fleet.operation("op_003") == operation(3, "acme", "succeeded")


async def test_another_tenants_operation_is_not_found(stores: Stores) -> None:
    await stores.fleet.save_operation(operation(1))
    assert (await stores.fleet.operation("op_001", tenant="acme")).id == "op_001"
    with pytest.raises(NotFound):
        await stores.fleet.operation("op_001", tenant="other")
    with pytest.raises(NotFound):
        await stores.fleet.operation("op_404")
