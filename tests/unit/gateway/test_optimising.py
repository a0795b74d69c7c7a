"""Proposals over HTTP: approved, applied, written down, measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.agent_spec import Tier
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.routing import EVERY_TENANT, RoutingPolicy, TierInfo
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.gateway.extensions.optimiser import Optimiser
from ossa.testing.gateway import FakeFleet
from ossa.testing.stores import MemoryStores

TIERS: dict[Tier, TierInfo] = {
    "standard": TierInfo(tier="standard", model="s", input_usd_per_mtok=1.0, output_usd_per_mtok=2.0),
    "premium": TierInfo(tier="premium", model="p", input_usd_per_mtok=10.0, output_usd_per_mtok=20.0),
}


async def end(stores: MemoryStores, number: int, tier: str, cost: float) -> None:
    request = TaskRequest(messages=[{"role": "user", "content": f"question {number} {tier}"}])
    new = NewTask(id=f"task_{tier}_{number:05d}", tenant="acme", request=request)
    await stores.journal.accept(new, owner="a")
    route = {"agent_id": "security-000", "manifest": "reviewer", "pool": "security", "tier": tier, "explored": True}
    step = Step(seq=0, kind="route", agent_id="security-000", payload=route, at=datetime.now(UTC))
    usage = Usage(prompt_tokens=1000, completion_tokens=100, cost_usd=cost, model_calls=1)
    outcome = Outcome(
        status=TaskStatus.SUCCEEDED,
        usage=usage,
        tier=tier,
        pool="security",
        manifest="reviewer",
        agent_id="security-000",
    )
    await stores.journal.finish(new.id, fence=1, outcome=outcome, steps=[step])


@pytest.fixture
async def stores() -> MemoryStores:
    """Whose journal shows that `reviewer` answers as well at a tenth of the price."""
    stores = MemoryStores()
    await stores.journal.renew("a", ttl_s=60)
    for number in range(300):
        await end(stores, number, "premium", 0.1)
        await end(stores, number, "standard", 0.01)
    return stores


def optimiser(stores: MemoryStores, **settings: Any) -> Optimiser:
    fleet = FakeFleet.of({"security": 2}, store=stores.fleet)
    return Optimiser(stores, fleet, GatewaySettings(**settings), tiers=TIERS, operator_tenant="default")


async def test_an_approved_tier_is_in_everybodys_policy_and_measured_from_then_on(stores: MemoryStores) -> None:
    known = RoutingPolicy(tiers={"writer": "premium"}, fit_weight=0.6)
    await stores.routing.save_policy(EVERY_TENANT, known)
    working = optimiser(stores)
    [found] = await working.proposals()
    approved = await working.approve(found.id, by="key_1")
    assert approved.change == {"manifest": "reviewer", "tier": "standard"}
    policy = (await stores.routing.policies())[EVERY_TENANT]
    assert policy.tiers == {"writer": "premium", "reviewer": "standard"}
    assert policy.fit_weight == 0.6
    assert await working.proposals() == []
    [measured] = await working.measured()
    assert (measured.approval.id, measured.approval.by) == (found.id, "key_1")


async def test_policy_approves_only_the_kinds_that_settings_name(stores: MemoryStores) -> None:
    assert await optimiser(stores, approve=("idle",)).approve_by_policy() == []
    [done] = await optimiser(stores, approve=("tier",)).approve_by_policy()
    assert done.subject == "reviewer"
    assert (await stores.spending.approvals())[0].by == "policy"


async def test_proposals_are_the_operators_to_see_and_to_approve(rig: Any) -> None:
    found = await rig.call("GET", "/api/v1/cost/proposals")
    assert found.json() == {"data": [], "approved": []}
    assert (await rig.call("POST", "/api/v1/cost/proposals/tier:x:standard/approve")).status_code == 404
    other = await rig.key("acme")
    assert (await rig.http.get("/api/v1/cost/proposals", headers=other)).status_code == 403
