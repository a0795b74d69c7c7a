"""Budgets and reports over HTTP: what a tenant's admin and the operator's may see and set."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.access import Scope
from ossa.contracts.task import Outcome, TaskStatus, Usage
from ossa.gateway.extensions import spending

BUDGETS = "/api/v1/budgets"
POOL = {"kind": "pool", "name": "security", "period": "day", "hard_usd": 2.0, "soft_usd": 1.0}


async def call(rig: Any, method: str, path: str, headers: dict[str, str], **more: Any) -> Any:
    return await rig.http.request(method, path, headers=headers, **more)


async def test_a_budget_is_set_listed_and_removed(rig: Any) -> None:
    made = await rig.call("PUT", BUDGETS, POOL)
    assert made.status_code == 200
    assert (made.json()["hard_usd"], made.json()["left_usd"], made.json()["tenant"]) == (2.0, 2.0, None)
    assert [one["id"] for one in (await rig.call("GET", BUDGETS)).json()["data"]] == [made.json()["id"]]
    gone = await rig.call("DELETE", f"{BUDGETS}?kind=pool&name=security&period=day")
    assert gone.json()["id"] == made.json()["id"]
    assert (await rig.call("DELETE", f"{BUDGETS}?kind=pool&name=security&period=day")).status_code == 404
    assert (await rig.call("GET", BUDGETS)).json()["data"] == []


async def test_an_alias_of_a_pool_is_the_pool_and_the_usual_period_a_month(rig: Any) -> None:
    made = await rig.call("PUT", BUDGETS, {"kind": "pool", "name": "enterprise-analytics", "hard_usd": 1})
    assert (made.json()["name"], made.json()["period"]) == ("intelligence", "month")
    task = await rig.call("PUT", BUDGETS, {"kind": "task", "name": "*", "hard_usd": 1})
    assert (task.json()["period"], task.json()["ends_at"]) == ("task", None)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"soft_usd": 3.0}, "soft_usd"),
        ({"period": "task"}, "period"),
        ({"kind": "task", "name": "*", "period": "day", "soft_usd": None}, "period"),
        ({"hard_usd": -1}, "hard_usd"),
        ({"kind": "planet"}, "kind"),
        ({"name": ""}, "name"),
    ],
)
async def test_what_is_wrong_is_named(rig: Any, change: dict[str, Any], param: str) -> None:
    answer = await rig.call("PUT", BUDGETS, {**POOL, **change})
    assert answer.status_code == 422
    assert answer.json()["param"] == param


async def test_a_tenants_admin_sets_budgets_of_its_own_spending_alone(rig: Any) -> None:
    theirs = await rig.key("acme")
    mine = await call(rig, "PUT", BUDGETS, theirs, json=POOL)
    assert (mine.json()["owner"], mine.json()["tenant"]) == ("acme", "acme")
    for order in ({"kind": "tenant", "name": "other", "hard_usd": 1}, {**POOL, "tenant": "other"}):
        assert (await call(rig, "PUT", BUDGETS, theirs, json=order)).status_code == 403


async def test_a_tenant_sees_what_limits_it_and_cannot_remove_what_is_not_its_own(rig: Any) -> None:
    theirs = await rig.key("acme")
    await rig.call("PUT", BUDGETS, {"kind": "tenant", "name": "acme", "hard_usd": 5})
    await rig.call("PUT", BUDGETS, POOL)
    listed = (await call(rig, "GET", BUDGETS, theirs)).json()["data"]
    assert [(one["owner"], one["name"]) for one in listed] == [("default", "acme")]
    gone = await call(rig, "DELETE", f"{BUDGETS}?kind=tenant&name=acme", theirs)
    assert gone.status_code == 404
    own = await call(rig, "PUT", BUDGETS, theirs, json={"kind": "tenant", "name": "acme", "hard_usd": 500})
    assert own.status_code == 200
    assert len((await call(rig, "GET", BUDGETS, theirs)).json()["data"]) == 2


@pytest.mark.parametrize(("method", "path"), [("GET", BUDGETS), ("PUT", BUDGETS), ("GET", "/api/v1/cost/report")])
async def test_a_key_without_admin_is_refused(rig: Any, method: str, path: str) -> None:
    headers = await rig.key("acme", [Scope.CHAT, Scope.TASKS])
    assert (await call(rig, method, path, headers, json={})).status_code == 403


async def test_a_report_adds_up_what_ended_and_extrapolates_for_the_operator(rig: Any) -> None:
    usage = Usage(prompt_tokens=100, completion_tokens=20, cached_tokens=10, cost_usd=0.5, model_calls=1)
    rig.link.end_with(Outcome(status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "x"}, usage=usage))
    await rig.ask(model="pool/security")
    await rig.ask(model="pool/security")
    await rig.ask(model="pool/intelligence")
    found = (await rig.call("GET", "/api/v1/cost/report?by=pool&days=7")).json()
    assert [(line["name"], line["tasks"], line["cost_usd"]) for line in found["lines"]] == [
        ("security", 2, 1.0),
        ("intelligence", 1, 0.5),
    ]
    assert (found["total"]["tasks"], found["total"]["cost_per_task_usd"]) == (3, 0.5)
    assert (found["live_agents"], found["target_agent_month_usd"]) == (4, 125.0)
    assert found["agent_month_usd"] == pytest.approx(1.5 / found["days"] * 30 / 4)
    by_agent = (await rig.call("GET", "/api/v1/cost/report?by=agent")).json()
    assert by_agent["lines"][0]["name"] == "security-agent"


async def test_a_tenants_report_has_its_own_tasks_alone(rig: Any) -> None:
    await rig.ask()
    found = (await call(rig, "GET", "/api/v1/cost/report", await rig.key("acme"))).json()
    assert (found["lines"], found["live_agents"], found["agent_month_usd"]) == ([], None, None)


async def test_metrics_show_what_is_left_of_budgets(rig: Any) -> None:
    await rig.call("PUT", BUDGETS, POOL)
    text = (await rig.http.get("/metrics")).text
    assert 'ossa_budget_usd{budget="default/pool:security/*/day",part="hard"' in text


async def test_a_tenant_sets_so_many_budgets_and_no_more(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "MOST_BUDGETS", 2)
    theirs, others = await rig.key("acme"), await rig.key("umbrella")
    orders = [{**POOL, "kind": "agent", "name": f"agent-{number}"} for number in range(3)]
    answers = [await call(rig, "PUT", BUDGETS, theirs, json=order) for order in (*orders, orders[0])]
    assert [one.status_code for one in answers] == [200, 200, 429, 200]
    assert (answers[2].json()["code"], "may have 2" in answers[2].json()["detail"]) == ("limit_exceeded", True)
    assert (await call(rig, "PUT", BUDGETS, others, json=orders[2])).status_code == 200
    assert [(await rig.call("PUT", BUDGETS, order)).status_code for order in orders] == [200, 200, 200]
    await call(rig, "DELETE", f"{BUDGETS}?kind=agent&name=agent-0&period=day", theirs)
    assert (await call(rig, "PUT", BUDGETS, theirs, json=orders[2])).status_code == 200
