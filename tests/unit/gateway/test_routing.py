"""Decisions that users can see, and what a replica learns from turns at once."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.access import Scope
from ossa.contracts.agent_spec import Tier
from ossa.contracts.errors import ModelFailed
from ossa.contracts.routing import Route, RoutingPolicy, TierInfo
from ossa.contracts.task import ErrorInfo, Outcome, Task, TaskRequest, TaskStatus
from ossa.gateway.extensions.routing.state import RoutingState
from ossa.routing import Conditions, FleetIndex, RequestFeatures
from ossa.routing.breaker import FAILURES
from ossa.testing.gateway import FakeFleet, FakeLink, eventually, fake_agent

TIERS: dict[Tier, TierInfo] = {
    "lightweight": TierInfo(tier="lightweight", model="small", input_usd_per_mtok=1.0, output_usd_per_mtok=4.0),
    "standard": TierInfo(tier="standard", model="middle", input_usd_per_mtok=3.0, output_usd_per_mtok=15.0),
}
PATH = "/api/v1/route"


async def test_a_request_is_routed_without_being_run(rig: Any) -> None:
    answer = await rig.call("POST", PATH, {"input": "hi", "model": "pool/security"})
    assert answer.status_code == 200
    (found,) = answer.json()["data"]
    assert found["route"]["pool"] == "security"
    assert found["route"]["router"]
    assert not rig.link.turns
    assert not rig.dispatcher.scheduler.inflight


async def test_a_batch_is_answered_one_by_one_in_its_order(rig: Any) -> None:
    orders = [{"input": "a", "model": "pool/security"}, {"input": "b", "model": "pool/nope"}, {"input": "c"}]
    answer = await rig.call("POST", PATH, {"requests": orders})
    first, second, third = answer.json()["data"]
    assert first["route"]["pool"] == "security"
    assert second["error"]["code"] == "not_found"
    assert "Known pools" in second["error"]["message"]
    assert third["route"] is not None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"input": "a", "messages": [{"role": "user", "content": "b"}]}, "messages"),
        ({"requests": []}, "requests"),
        ({"requests": [{"input": "a"}, {}]}, "requests.1.messages"),
        ({"requests": [{"input": "a"}], "input": "b"}, "requests"),
        ({"requests": [{"input": "a"}] * 257}, "requests"),
        ({"input": ""}, "input"),
        ({"input": "a", "colour": 1}, "colour"),
    ],
)
async def test_a_wrong_field_is_named(rig: Any, body: dict[str, Any], param: str) -> None:
    answer = await rig.call("POST", PATH, body)
    assert answer.status_code == 422
    assert answer.json()["param"] == param


@pytest.mark.parametrize("text", ["\x01\x1b[31m", "审查这段代码", "x" * 1_000_000])
async def test_any_text_is_decided_on(rig: Any, text: str) -> None:
    answer = await rig.call("POST", PATH, {"input": text})
    assert answer.json()["data"][0]["route"]["agent_id"], answer.text


async def test_what_a_task_was_decided_by_is_in_the_journal(open_rig: Any) -> None:
    rig = await open_rig(tiers=TIERS)
    answer = await rig.ask(model="pool/security")
    task_id = answer.headers["x-ossa-task-id"]
    found = (await rig.call("GET", f"/api/v1/tasks/{task_id}/route")).json()
    assert found["task_id"] == task_id
    (route,) = found["data"]
    assert route["agent_id"] == answer.headers["x-ossa-agent"]
    assert route["tier"] == "standard"
    steps = await rig.stores.journal.steps(task_id)
    assert Route.model_validate(steps[0].payload).agent_id == route["agent_id"]
    other = await rig.key("other", scopes=[Scope.TASKS])
    assert (await rig.http.get(f"/api/v1/tasks/{task_id}/route", headers=other)).status_code == 404


async def test_a_turn_is_told_the_tier_that_was_decided(open_rig: Any) -> None:
    rig = await open_rig(tiers=TIERS)
    await rig.stores.routing.save_policy("default", RoutingPolicy(tiers={"security-agent": "lightweight"}))

    async def decided() -> bool:
        answer = await rig.call("POST", PATH, {"input": "x", "model": "pool/security"})
        return bool(answer.json()["data"][0]["route"]["tier"] == "lightweight")

    await eventually(decided)
    answer = await rig.ask(model="pool/security")
    steps = await rig.stores.journal.steps(answer.headers["x-ossa-task-id"])
    assert steps[0].payload["tier"] == "lightweight"


async def test_capabilities_in_the_metadata_decide(open_rig: Any) -> None:
    fleet = FakeFleet([fake_agent("security-000", capabilities=("scan",)), fake_agent("community-000")])
    rig = await open_rig(fleet=fleet)
    for _ in range(5):
        answer = await rig.ask(metadata={"ossa.capabilities": "scan"})
        assert answer.headers["x-ossa-agent"] == "security-000"
    answer = await rig.ask(metadata={"ossa.capabilities": "fly"})
    assert answer.status_code == 404
    assert "scan" in answer.json()["error"]["message"]


async def test_a_conversation_goes_on_with_the_agent_it_began_with(open_rig: Any) -> None:
    fleet = FakeFleet([fake_agent(f"security-{n:03d}") for n in range(40)])
    rig = await open_rig(fleet=fleet, link=FakeLink(answer="It is 7."))
    begun = await rig.ask("what is it?")
    messages = [
        {"role": "user", "content": "what is it?"},
        {"role": "assistant", "content": "It is 7."},
        {"role": "user", "content": "and then?"},
    ]
    for _ in range(4):
        answer = await rig.call("POST", "/v1/chat/completions", {"model": "auto", "messages": messages})
        assert answer.headers["x-ossa-agent"] == begun.headers["x-ossa-agent"]


def task(text: str = "hi") -> Task:
    request = TaskRequest(messages=[{"role": "user", "content": text}])
    return Task.model_construct(id="task_1", tenant="acme", request=request)


def outcome(error: type[ModelFailed] | None = None, status: TaskStatus = TaskStatus.FAILED) -> Outcome:
    if error is None:
        return Outcome(status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "x"})
    return Outcome(status=status, error=ErrorInfo(code=error.code, message="gone"))


def test_an_endpoint_that_fails_again_and_again_opens_its_breaker_and_not_the_manifests() -> None:
    state = RoutingState(clock=lambda: 0.0)
    agent = fake_agent("security-000")
    for _ in range(FAILURES):
        state.began("acme", agent, "standard")
        state.ended(task(), agent, "standard", outcome(ModelFailed), 1.0)
    conditions = state.conditions(Conditions(), "acme", RequestFeatures())
    assert conditions.open_breakers == {"tier:standard"}


def test_what_one_tenants_requests_break_is_not_taken_from_the_others() -> None:
    state = RoutingState(clock=lambda: 0.0)
    shared, own = fake_agent("security-000"), fake_agent("security-001", tenant="acme")
    broken = Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="internal", message="it broke"))
    for _ in range(FAILURES):
        state.ended(task(), own, None, broken, 1.0)
    assert state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers == {"agent:acme/security-agent"}
    for _ in range(FAILURES):
        state.ended(task(), shared, None, broken, 1.0)
    assert "agent:/security-agent" in state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers
    assert not state.conditions(Conditions(), "other", RequestFeatures()).open_breakers


def test_each_endpoint_of_a_cascade_answers_for_itself() -> None:
    state = RoutingState(clock=lambda: 0.0)
    answered = outcome().model_copy(update={"tier": "lightweight", "failed_tiers": ("standard",)})
    for _ in range(FAILURES):
        state.began("acme", fake_agent("security-000"), "standard")
        state.ended(task(), fake_agent("security-000"), "standard", answered, 1.0)
    assert state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers == {"tier:standard"}


@pytest.mark.parametrize("code", ["timed_out", "limit_exceeded", "model_rejected"])
def test_a_try_that_tells_nothing_of_the_endpoint_lets_another_one_try(code: str) -> None:
    now = [0.0]
    state = RoutingState(clock=lambda: now[0])
    agent = fake_agent("security-000")
    for _ in range(FAILURES):
        state.ended(task(), agent, "standard", outcome(ModelFailed), 1.0)
    now[0] += 60.0
    state.began("acme", agent, "standard")
    assert state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers == {"tier:standard"}
    silent = Outcome(status=TaskStatus.FAILED, tier="standard", error=ErrorInfo(code=code, message="its own fault"))
    state.ended(task(), agent, "standard", silent, 1.0)
    assert not state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers


def test_one_tenants_short_times_close_no_endpoint_to_the_others() -> None:
    state = RoutingState(clock=lambda: 0.0)
    late = Outcome(
        status=TaskStatus.FAILED, failed_tiers=("standard",), error=ErrorInfo(code="timed_out", message="0.001 s")
    )
    for _ in range(FAILURES):
        state.ended(task(), fake_agent("security-000"), "standard", late, 0.001)
    assert state.conditions(Conditions(), "acme", RequestFeatures()).open_breakers == {"tier:standard"}
    assert not state.conditions(Conditions(), "other", RequestFeatures()).open_breakers


def test_an_agent_that_is_slower_than_its_like_gets_a_pace_and_loses_it_when_it_is_gone() -> None:
    state = RoutingState(clock=lambda: 0.0)
    quick, slow = fake_agent("security-000"), fake_agent("security-001")
    for _ in range(20):
        state.ended(task(), quick, None, outcome(), 1.0)
        state.ended(task(), slow, None, outcome(), 9.0)
    pace = state.conditions(Conditions(), "acme", RequestFeatures()).pace
    assert pace.keys() == {"security-001"}
    assert 0.25 <= pace["security-001"] < 1
    state.forget(FleetIndex.of(FakeFleet([quick]).snapshot()))
    assert not state.conditions(Conditions(), "acme", RequestFeatures()).pace


def test_a_tenants_policy_goes_before_everybodys() -> None:
    mine, everybodys = RoutingPolicy(models="best"), RoutingPolicy(models="cheapest")
    state = RoutingState(clock=lambda: 0.0, policies=lambda: {"acme": mine, "*": everybodys})
    assert state.policy("acme") is mine
    assert state.policy("other") is everybodys
    assert RoutingState(clock=lambda: 0.0).policy("acme").models == "manifest"


async def test_a_tier_that_the_budget_cannot_pay_is_not_taken(open_rig: Any) -> None:
    rig = await open_rig(tiers=TIERS)
    budget = {"kind": "agent", "name": "security-agent", "period": "day", "hard_usd": 0.005}
    assert (await rig.call("PUT", "/api/v1/budgets", budget)).status_code == 200

    async def decided() -> dict[str, Any] | None:
        order = {"input": "x" * 4000, "model": "pool/security"}
        route: dict[str, Any] = (await rig.call("POST", PATH, order)).json()["data"][0]["route"]
        return route if route["tiers_filtered"] else None

    route = await eventually(decided)
    assert route["tier"] == "lightweight"
    assert "budget" in route["tiers_filtered"]["standard"]
