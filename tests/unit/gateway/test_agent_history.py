"""The list of an agent's life, made from facts by one of two replicas."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.access import Scope
from ossa.contracts.events import Fact
from ossa.contracts.facts import AgentLost, AgentReady
from ossa.testing.gateway import eventually

pytestmark = pytest.mark.asyncio


def ready(agent: str, process: str, *, tenant: str = "_system", name: str = "") -> Fact:
    data = AgentReady(agent=agent, pool="security", incarnation=process, manifest="m", version="1.0", node="n")
    return Fact(data, f"agent/{agent}", tenant, name)


def lost(agent: str, process: str, *, tenant: str = "_system") -> Fact:
    data = AgentLost(agent=agent, pool="security", incarnation=process, outcome="failed", reason="killed")
    return Fact(data, f"agent/{agent}", tenant)


async def life(rig: Any, agent: str, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = await rig.call("GET", f"/api/v1/agents/{agent}/history{query}", **headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_life_is_told_in_order_by_either_replica_and_nothing_twice(open_rig: Any) -> None:
    first = await open_rig()
    second = await open_rig(stores=first.stores, fleet=first.fleet, link=first.link)
    assert await life(first, "security-000") == []
    log = first.stores.facts
    await log.tell([ready("security-000", "p1", name="p1")])
    await log.tell([lost("security-000", "p1"), ready("security-000", "p2")])
    await log.tell([ready("security-000", "p1", name="p1")])  # told again, under its id
    await log.tell([ready("security-001", "p9")])

    async def there() -> bool:
        return len(await life(second, "security-000")) == 3 and len(await life(second, "security-001")) == 1

    await eventually(there)
    found = await life(first, "security-000")
    assert [(each["type"].split(".")[2], each["incarnation"]) for each in found] == [
        ("ready", "p2"), ("lost", "p1"), ("ready", "p1"),
    ]  # fmt: skip
    assert (found[1]["reason"], found[1]["outcome"]) == ("killed", "failed")
    assert [found[2][name] for name in ("manifest", "version", "node", "pool")] == ["m", "1.0", "n", "security"]
    page = (await first.call("GET", "/api/v1/agents/security-000/history?limit=2")).json()
    rest = (await second.call("GET", f"/api/v1/agents/security-000/history?limit=2&before={page['next']}")).json()
    assert page["data"] + rest["data"] == found
    assert rest["next"] is None


async def test_shared_agents_are_everybody_s_and_own_ones_their_tenant_s(rig: Any) -> None:
    await rig.stores.facts.tell([ready("security-000", "p1"), ready("mine-1", "p2", tenant="acme")])
    acme, rival = [await rig.key(tenant, [Scope.AGENTS_READ]) for tenant in ("acme", "rival")]

    async def there() -> bool:
        return bool(await life(rig, "security-000")) and bool(await life(rig, "mine-1"))

    async def known() -> bool:
        return (await rig.call("GET", "/api/v1/agents/mine-1/history")).status_code == 200

    await eventually(known)
    await eventually(there)
    for headers in (acme, rival):
        assert len(await life(rig, "security-000", **headers)) == 1
    assert len(await life(rig, "mine-1", **acme)) == 1
    hidden = await rig.call("GET", "/api/v1/agents/mine-1/history", **rival)
    assert (hidden.status_code, hidden.json()["param"]) == (404, "agent_id")


@pytest.mark.parametrize(("query", "param"), [("limit=0", "limit"), ("before=x", "before"), ("before=0", "before")])
async def test_a_wrong_value_is_named(rig: Any, query: str, param: str) -> None:
    answer = await rig.call("GET", f"/api/v1/agents/security-000/history?{query}")
    assert (answer.status_code, answer.json()["param"]) == (422, param)


async def test_the_list_can_be_made_anew_from_the_log(rig: Any) -> None:
    await rig.stores.facts.tell([ready("security-000", "p1")])

    async def there() -> bool:
        return len(await life(rig, "security-000")) == 1

    await eventually(there)
    (moment,) = await life(rig, "security-000")
    rig.stores.agent_history._moments.clear()
    assert await life(rig, "security-000") == []
    answer = await rig.call("POST", "/api/v1/events/groups/agent-history/seek", {"to": "oldest"})
    assert answer.status_code == 200
    await eventually(there)
    assert await life(rig, "security-000") == [moment]
