"""A database of an older version is brought up to date and read in whole by the current code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.memory import Recall
from ossa.contracts.routing import Route, RoutingPolicy
from ossa.contracts.task import TaskStatus
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.gateway.api.tasks import task_view
from ossa.stores.postgres import PostgresStores
from ossa.vortex.originals import handle_in
from tests.support.old_home import old_home, recorded, steps_of

RECORD = recorded()
ANSWERS: dict[str, dict[str, Any]] = RECORD["answers"]
THEN = datetime(2026, 12, 1, 1, tzinfo=UTC)
TENANTS = ("default", "acme")


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with old_home() as home:
        server = EmbeddedPostgres(home / "postgres")
        yield server.start()
        server.erase()


@pytest.fixture
async def upgraded(dsn: str) -> AsyncIterator[PostgresStores]:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    yield stores
    await stores.close()


def listed(tenant: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = ANSWERS[tenant]["/api/v1/tasks?limit=100"]["data"]
    return tasks


@pytest.mark.parametrize("tenant", TENANTS)
async def test_ended_tasks_are_as_the_old_version_answered(upgraded: PostgresStores, tenant: str) -> None:
    tasks = await upgraded.journal.tasks(tenant=tenant, limit=100)
    views = [json.loads(task_view(task).model_dump_json()) for task in tasks if task.status.ended]
    assert views == listed(tenant)
    assert {view["status"] for view in views} == (
        {"succeeded"} if tenant == "acme" else {"succeeded", "failed", "cancelled"}
    )


@pytest.mark.parametrize("tenant", TENANTS)
async def test_steps_are_as_the_old_version_answered(upgraded: PostgresStores, tenant: str) -> None:
    for task in listed(tenant):
        steps = await upgraded.journal.steps(task["id"], tenant=tenant)
        assert [json.loads(step.model_dump_json()) for step in steps] == steps_of(
            ANSWERS[tenant][f"/api/v1/tasks/{task['id']}/events"]
        )


async def test_a_decision_that_was_stored_with_load_has_its_headroom(upgraded: PostgresStores) -> None:
    steps = await upgraded.journal.steps(listed("default")[0]["id"])
    stored = next(step.payload for step in steps if step.kind == "route")
    assert "headroom" not in stored["agents"][0]
    assert [agent.headroom for agent in Route.model_validate(stored).agents] == [
        agent["load"] for agent in stored["agents"]
    ]


async def test_open_tasks_wait_to_be_taken_over_with_what_they_did(upgraded: PostgresStores) -> None:
    for task_id, left in RECORD["open"].items():
        task = await upgraded.journal.get(task_id, tenant=left["tenant"])
        assert task.status is (TaskStatus.RUNNING if left["owned"] else TaskStatus.QUEUED)
        assert len(await upgraded.journal.steps(task_id)) == left["steps"]
    assert await upgraded.journal.count_open() == len(RECORD["open"])


@pytest.mark.parametrize("tenant", TENANTS)
async def test_secrets_still_find_their_keys(upgraded: PostgresStores, tenant: str) -> None:
    key = await upgraded.keys.find(hashlib.sha256(RECORD["keys"][tenant].encode()).digest())
    assert key is not None
    assert json.loads(key.model_dump_json()) in ANSWERS["default"]["/api/v1/keys"]["data"]


async def test_budgets_and_what_was_spent_are_kept(upgraded: PostgresStores) -> None:
    budgets = {balance.budget.id: balance.budget for balance in await upgraded.budgets.budgets()}
    old = {budget["id"]: budget for budget in ANSWERS["default"]["/api/v1/budgets"]["data"]}
    assert {id: (budget.hard_usd, budget.soft_usd) for id, budget in budgets.items()} == {
        id: (budget["hard_usd"], budget["soft_usd"]) for id, budget in old.items()
    }
    report = ANSWERS["default"]["/api/v1/cost/report?by=tenant&days=1"]["lines"]
    spent = await upgraded.spending.spending(since=date(2026, 12, 1))
    for line in report:
        of_tenant = sum(entry.cost_usd for entry in spent if entry.tenant == line["name"])
        assert of_tenant >= line["cost_usd"] - 1e-9


async def test_policies_are_kept(upgraded: PostgresStores) -> None:
    policies = await upgraded.routing.policies()
    old = {path: answer["policy"] for path, answer in ANSWERS["default"].items() if "/policy" in path}
    assert policies == {
        "default": RoutingPolicy.model_validate(old["/api/v1/routing/policy"]),
        "acme": RoutingPolicy.model_validate(old["/api/v1/routing/policy?tenant=acme"]),
    }


async def test_feedback_is_kept(upgraded: PostgresStores) -> None:
    rated = {
        (feedback.tenant, feedback.rating, feedback.comment, feedback.expected)
        for tenant in TENANTS
        for task in listed(tenant)
        if (feedback := await upgraded.routing.feedback(task["id"], tenant=tenant))
    }
    assert rated == {("default", 1.0, "just so", "foundation"), ("acme", 0.25, "", "")}


@pytest.mark.parametrize("tenant", TENANTS)
async def test_memories_and_grants_are_kept(upgraded: PostgresStores, tenant: str) -> None:
    rows = await upgraded.memory.newest(tenant, Recall(limit=100), kinds=None)
    items = [found["item"] for found in ANSWERS[tenant]["/api/v1/memory/recall"]["data"]]
    assert [(row.id, row.content, row.facts, row.version) for row in rows] == [
        (item["id"], item["content"], item["facts"], item["version"]) for item in items
    ]
    grants = await upgraded.memory.grants(tenant)
    assert [grant.to for grant in grants] == (["acme"] if tenant == "default" else [])


async def test_the_original_of_a_compressed_text_is_kept(upgraded: PostgresStores) -> None:
    handle = handle_in(RECORD["compressed"]["text"])
    assert handle is not None
    original = await upgraded.originals.get(handle, tenant="default", now=THEN)
    assert original == RECORD["compressed"]["content"]


async def test_the_fleet_and_its_operations_are_kept(upgraded: PostgresStores) -> None:
    desired = await upgraded.fleet.load()
    old = {pool["name"]: pool["desired"] for pool in ANSWERS["default"]["/api/v1/pools"]["data"]}
    assert {pool.name: pool.size for pool in desired.pools} == old
    assert old["intelligence"] == 2
    assert all("record_effect" in spec.model_dump_json() for pool in desired.pools for spec in pool.manifests)
    operations = await upgraded.fleet.operations(tenant=None, open_only=False, limit=100)
    answered = ANSWERS["default"]["/api/v1/operations"]["data"]
    assert [operation.id for operation in operations][: len(answered)] == [operation["id"] for operation in answered]
