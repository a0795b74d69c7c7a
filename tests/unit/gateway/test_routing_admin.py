"""Feedback, policies and router models over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from ossa.contracts.access import Scope
from ossa.contracts.routing import RoutingPolicy
from ossa.contracts.task import Outcome, TaskStatus
from ossa.routing import RequestFeatures
from ossa.routing.learned.archive import ModelFile, dump
from ossa.routing.learned.reading import DENSE
from ossa.routing.registry import LEARN_EVERY, LiveRouter
from ossa.scaling.forecast.model import ForecastModel
from ossa.testing.gateway import eventually

POLICY = "/api/v1/routing/policy"
MODELS = "/api/v1/routing/models"


def model_file(lean: float = 0.0) -> ModelFile:
    arrays: dict[str, Any] = {
        "groups": np.zeros(1, dtype=np.int16),
        "buckets": np.asarray([1], dtype=np.int32),
        "rarity": np.ones(1, dtype=np.float16),
        "inner": np.zeros((1, 2), dtype=np.int8),
        "inner_scale": np.ones(1, dtype=np.float16),
        "inner_dense": np.zeros((DENSE, 2), dtype=np.float16),
        "inner_bias": np.zeros(2, dtype=np.float16),
        "outer": np.zeros((2, 1), dtype=np.float16),
        "outer_bias": np.asarray([lean], dtype=np.float16),
    }
    card = {"kind": "labels", "name": "made", "data": [], "split": "", "metrics": {}, "importance": {}, "unmet": 1.0}
    calibration = {"temperature": 1.0, "floor": 0.0}
    return ModelFile({**card, "calibration": calibration, "labels": ["a"], "groups": ["security"]}, arrays)


async def add_model(rig: Any, content: bytes | None = None, *, lean: float = 0.0) -> None:
    file = model_file(lean)
    await rig.stores.routing.add_model(
        "labels", dump(file) if content is None else content, card=dict(file.card), digest=file.digest
    )


async def rate(rig: Any, task_id: str, **body: Any) -> Any:
    return await rig.call("POST", f"/api/v1/tasks/{task_id}/feedback", body)


# feedback


@pytest.mark.parametrize(("said", "kept"), [("up", 1.0), ("down", 0.0), (0.25, 0.25), (1, 1.0)])
async def test_an_answer_is_rated_in_a_word_or_a_number(rig: Any, said: Any, kept: float) -> None:
    task_id = (await rig.ask()).headers["x-ossa-task-id"]
    answer = await rate(rig, task_id, rating=said, comment="hm")
    assert (answer.status_code, answer.json()["rating"], answer.json()["task_id"]) == (200, kept, task_id)
    found = await rig.stores.routing.feedback(task_id, tenant="default")
    assert (found.rating, found.comment) == (kept, "hm")


async def test_who_should_have_answered_is_a_pool_a_manifest_or_an_agent(rig: Any) -> None:
    task_id = (await rig.ask()).headers["x-ossa-task-id"]
    agent = rig.fleet.snapshot().agents[0]
    for named, kept in (
        ("enterprise-analytics", "intelligence"),
        ("community", "community"),
        (agent.manifest, agent.manifest),
        (agent.agent_id, agent.manifest),
    ):
        assert (await rate(rig, task_id, rating=0, expected=named)).json()["expected"] == kept
    wrong = await rate(rig, task_id, rating=0, expected="nobody")
    assert (wrong.status_code, wrong.json()["param"]) == (422, "expected")
    assert "security" in wrong.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"rating": 2}, {"rating": "good"}, {"rating": True}, {"rating": 1, "stars": 5}])
async def test_feedback_that_cannot_be_meant_is_refused_with_its_field(rig: Any, body: dict[str, Any]) -> None:
    task_id = (await rig.ask()).headers["x-ossa-task-id"]
    answer = await rate(rig, task_id, **body)
    assert answer.status_code == 422
    assert answer.json()["param"].split(".")[0] in ("rating", "stars")


async def test_only_a_task_of_ones_own_that_has_ended_is_rated(rig: Any) -> None:
    task_id = (await rig.ask()).headers["x-ossa-task-id"]
    other = await rig.key("other")
    path = f"/api/v1/tasks/{task_id}/feedback"
    assert (await rig.http.post(path, json={"rating": 1}, headers=other)).status_code == 404
    reader = await rig.key(scopes=[Scope.AGENTS_READ])
    assert (await rig.http.post(path, json={"rating": 1}, headers=reader)).status_code == 403
    assert (await rate(rig, "task_0", rating=1)).status_code == 404
    rig.link.hold()
    open_task = (await rig.call("POST", "/api/v1/tasks", {"input": "hi"})).json()["id"]
    early = await rate(rig, open_task, rating=1)
    assert (early.status_code, early.json()["code"]) == (409, "conflict")


# policies


async def test_a_tenants_policy_goes_before_that_of_every_tenant(rig: Any) -> None:
    assert (await rig.call("GET", POLICY)).json()["source"] == "usual"
    everybody = await rig.call("PUT", f"{POLICY}?tenant=*", {"models": "best"})
    assert (everybody.status_code, everybody.json()["tenant"]) == (200, "*")
    assert (await rig.call("GET", POLICY)).json()["source"] == "everybody"
    own = await rig.call("PUT", POLICY, {"models": "cheapest", "quality_floor": 0.9})
    assert own.json()["source"] == "own"
    assert own.json()["policy"]["quality_floor"] == 0.9
    assert rig.context.service(LiveRouter, "routing").policies["default"] == RoutingPolicy(
        models="cheapest", quality_floor=0.9
    )
    gone = await rig.call("DELETE", POLICY)
    assert (gone.json()["source"], gone.json()["policy"]["models"]) == ("everybody", "best")


TOO_MANY = {f"m{n}": "premium" for n in range(1001)}


@pytest.mark.parametrize(
    "body",
    [
        {"models": "dearest"},
        {"quality_floor": 2},
        {"explore": 0.5},
        {"tiers": {"a": "b"}},
        {"tiers": TOO_MANY},
        {"tiers": {"m" * 254: "premium"}},
        {"tiers": {"": "premium"}},
    ],
)
async def test_a_policy_that_cannot_be_meant_is_refused(rig: Any, body: dict[str, Any]) -> None:
    answer = await rig.call("PUT", POLICY, body)
    assert (answer.status_code, answer.json()["param"].split(".")[0]) == (422, next(iter(body)))
    assert await rig.stores.routing.policies() == {}


async def test_a_policy_names_up_to_a_thousand_manifests_and_is_told_when_it_names_more(rig: Any) -> None:
    most = {f"m{n:0>252}"[:253]: "premium" for n in range(1000)}
    assert (await rig.call("PUT", POLICY, {"tiers": most})).status_code == 200
    assert len((await rig.stores.routing.policies())["default"].tiers) == 1000
    answer = await rig.call("PUT", POLICY, {"tiers": TOO_MANY})
    assert (answer.status_code, answer.json()["param"]) == (422, "tiers")
    assert "at most 1000" in answer.json()["detail"]


async def test_another_tenants_policy_is_the_operators_alone(rig: Any) -> None:
    other = await rig.key("other")
    assert (await rig.http.put(POLICY, json={"models": "best"}, headers=other)).status_code == 200
    for tenant in ("*", "default"):
        for method in ("GET", "PUT", "DELETE"):
            body = {"models": "best"} if method == "PUT" else None
            answer = await rig.http.request(method, f"{POLICY}?tenant={tenant}", json=body, headers=other)
            assert answer.status_code == 403
    assert (await rig.call("GET", f"{POLICY}?tenant=other")).json()["source"] == "own"
    assert (await rig.call("GET", f"{POLICY}?tenant=A%20b")).status_code == 422
    chat = await rig.key(scopes=[Scope.CHAT])
    assert (await rig.http.get(POLICY, headers=chat)).status_code == 403


# models


async def test_a_model_is_promoted_at_once_and_rolled_back(rig: Any) -> None:
    await add_model(rig)
    listed = (await rig.call("GET", f"{MODELS}?kind=labels")).json()["data"]
    assert [(one["version"], one["state"]) for one in listed] == [(1, "candidate")]
    promoted = await rig.call("POST", f"{MODELS}/labels/1/promote")
    assert (promoted.status_code, promoted.json()["state"]) == (200, "live")
    status = (await rig.call("GET", "/api/v1/routing/status")).json()
    labels = next(one for one in status["models"] if one["kind"] == "labels")
    assert (labels["source"], labels["version"]) == ("registry", 1)
    back = await rig.call("POST", f"{MODELS}/labels/rollback")
    assert (back.status_code, back.json()) == (200, {"kind": "labels", "live": None})
    status = (await rig.call("GET", "/api/v1/routing/status")).json()
    assert next(one for one in status["models"] if one["kind"] == "labels")["source"] != "registry"
    assert b"ossa_routing_serving" in (await rig.http.get("/metrics")).content


async def test_twenty_swaps_under_load_fail_no_request(open_rig: Any) -> None:
    rig = await open_rig(busy_wait_s=10.0)
    done = asyncio.Event()
    statuses: list[int] = []

    async def ask() -> None:
        while not done.is_set():
            statuses.append((await rig.ask("please review my change")).status_code)

    for n in range(21):
        await add_model(rig, lean=n / 4)
    assert (await rig.call("POST", f"{MODELS}/labels/1/promote")).status_code == 200
    before = rig.context.service(LiveRouter, "routing").status().swaps
    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for version in range(2, 22):
        heard = len(statuses)
        assert (await rig.call("POST", f"{MODELS}/labels/{version}/promote")).status_code == 200
        await eventually(lambda heard=heard: len(statuses) > heard + 4)
    done.set()
    await asyncio.gather(*asking)
    assert rig.context.service(LiveRouter, "routing").status().swaps - before == 20
    assert set(statuses) == {200}


async def test_a_damaged_model_is_not_promoted(rig: Any) -> None:
    await add_model(rig, b"nothing of the kind")
    answer = await rig.call("POST", f"{MODELS}/labels/1/promote")
    assert answer.status_code == 409
    assert "not a routing model" in answer.json()["detail"]
    assert list(await rig.stores.routing.live()) == []


@pytest.mark.parametrize("share", ["a", None, float("nan")])
async def test_a_model_that_cannot_be_watched_is_not_promoted(open_rig: Any, share: Any) -> None:
    rig = await open_rig()
    file = model_file()
    bad = ModelFile({**file.card, "reference": {"characters": [share] * 9}}, file.arrays)
    await rig.stores.routing.add_model("labels", dump(bad), card={}, digest=bad.digest)
    assert (await rig.call("POST", f"{MODELS}/labels/1/promote")).status_code == 409
    assert list(await rig.stores.routing.live()) == []
    assert (await rig.call("PUT", POLICY, {"models": "best"})).status_code == 200
    await rig.stores.routing.promote("labels", 1)  # by a version that did not look
    assert (await rig.call("PUT", POLICY, {"models": "best"})).status_code == 200
    another = await open_rig(stores=rig.stores)
    assert (await another.ask()).status_code == 200


async def test_one_tenant_rates_no_model_away_from_the_others(open_rig: Any) -> None:
    rig = await open_rig()
    router = rig.context.service(LiveRouter, "routing")
    evil = await rig.key("evil")
    decided = {"message": {"role": "assistant", "content": "x"}, "tier": "standard"}
    rig.link.end_with(Outcome(status=TaskStatus.SUCCEEDED, **decided))
    await rig.ask("what is 3 + 3?")
    for _ in range(60):
        task_id = (await rig.ask("what is 2 + 2?", headers=evil)).headers["x-ossa-task-id"]
        await rig.http.post(f"/api/v1/tasks/{task_id}/feedback", json={"rating": "down"}, headers=evil)
    for _ in range(LEARN_EVERY):
        await router.refresh()
    (quality,) = [model for model in router.status().models if model.kind == "quality"]
    assert (quality.source, quality.aside) == ("packaged", "")


async def test_the_first_decision_is_learned_already(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/route", {"input": "scan my code for holes"})
    assert "agents:" in answer.json()["data"][0]["route"]["router"]
    router, index = rig.context.service(LiveRouter, "routing"), rig.context.core.index()
    features = RequestFeatures.of([{"role": "user", "content": "scan my code for holes"}])
    assert router.scorer().fits(index, features) is not None


async def test_a_forecast_model_is_tried_promoted_and_rolled_back_and_routes_nothing(rig: Any) -> None:
    good = ForecastModel({"step_s": 60.0, "pools": ["security"], "trained": {"rows": 0}}, {})
    for content, digest in ((good.dump(), good.version), (b"nothing of the kind", "bad")):
        await rig.stores.routing.add_model("forecast", content, card={}, digest=digest)
    promoted = await rig.call("POST", f"{MODELS}/forecast/1/promote")
    assert (promoted.status_code, promoted.json()["state"]) == (200, "live")
    damaged = await rig.call("POST", f"{MODELS}/forecast/2/promote")
    assert damaged.status_code == 409
    assert "not a forecast model" in damaged.json()["detail"]
    status = (await rig.call("GET", "/api/v1/routing/status")).json()
    assert ([one["kind"] for one in status["models"]], status["fault"]) == (["labels", "agents", "quality"], "")
    listed = (await rig.call("GET", f"{MODELS}?kind=forecast")).json()["data"]
    assert [(one["version"], one["state"]) for one in listed] == [(2, "candidate"), (1, "live")]
    back = await rig.call("POST", f"{MODELS}/forecast/rollback")
    assert (back.status_code, back.json()) == (200, {"kind": "forecast", "live": None})


async def test_unknown_models_and_kinds_are_told(rig: Any) -> None:
    assert (await rig.call("POST", f"{MODELS}/labels/7/promote")).status_code == 404
    for path in ("labels/0/promote", "labels/99999999999999999999/promote", "tea/1/promote", "tea/rollback"):
        assert (await rig.call("POST", f"{MODELS}/{path}")).status_code == 422


async def test_models_are_everybodys_and_changed_by_who_may_change_the_fleet(rig: Any) -> None:
    await add_model(rig)
    other = await rig.key("other")
    assert (await rig.http.get(MODELS, headers=other)).status_code == 200
    for path in (f"{MODELS}/labels/1/promote", f"{MODELS}/labels/rollback"):
        assert (await rig.http.post(path, headers=other)).status_code == 403
