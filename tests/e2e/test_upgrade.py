"""A home that version 4000a53 left when its fleet was killed is gone on with by the current code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from benchmarks.effects import count_effects
from ossa.app.run_file import read_run_file
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.sdk.client import Client
from ossa.sdk.connecting import connect
from ossa.testing.models.server import ScriptedProcess
from tests.support.old_home import old_home, recorded, steps_of, upgraded_fleet

RECORD = recorded()
ANSWERS: dict[str, dict[str, Any]] = RECORD["answers"]
TENANTS = ("default", "acme")
TAKE_OVER_S = 120.0


@dataclass(frozen=True)
class Upgraded:
    url: str
    home: Path

    def http(self, tenant: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {RECORD['keys'][tenant]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def client(self, tenant: str = "default") -> Client:
        return connect(self.url, RECORD["keys"][tenant], timeout_s=120)


def refresh(home: Path) -> None:
    """Originals are kept for a week; the archive is older."""
    server = EmbeddedPostgres(home / "postgres")
    with psycopg.connect(server.start()) as connection:
        connection.execute("UPDATE ossa.originals SET expires_at = now() + interval '1 day'")
    server.stop()


@pytest.fixture(scope="module")
def upgraded(upstream: ScriptedProcess) -> Iterator[Upgraded]:
    with old_home() as home:
        refresh(home)
        left = read_run_file(home)
        assert left is not None
        with upgraded_fleet(home, upstream.base_url) as url:
            assert url != left.url
            yield Upgraded(url, home)


def listed(tenant: str) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in ANSWERS[tenant]["/api/v1/tasks?limit=100"]["data"]}


def updated(old: Any, new: Any) -> Any:
    """`new` without the fields that `old` does not know; fields that went are missed."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: updated(value, new[name]) for name, value in old.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [updated(*pair) for pair in zip(old, new, strict=True)]
    return new


@pytest.mark.parametrize("tenant", TENANTS)
def test_ended_tasks_are_answered_as_before(upgraded: Upgraded, tenant: str) -> None:
    paths = [path for path in ANSWERS[tenant] if path.startswith("/api/v1/tasks/")]
    with upgraded.http(tenant) as http:
        new = {task["id"]: task for task in http.get("/api/v1/tasks?limit=100").json()["data"]}
        assert {task_id: new[task_id] for task_id in listed(tenant)} == listed(tenant)
        for path in paths:
            answer, old = http.get(path), ANSWERS[tenant][path]
            assert answer.status_code == 200, path
            if path.endswith("/events"):
                assert steps_of(answer.text) == steps_of(old)
            else:
                assert updated(old, answer.json()) == old, path


def test_tasks_that_were_open_end_well_and_each_effect_happened_once(upgraded: Upgraded) -> None:
    deadline = time.monotonic() + TAKE_OVER_S
    for task_id, left in RECORD["open"].items():
        with upgraded.client(left["tenant"]) as client:
            ended = client.tasks.wait(task_id, timeout_s=deadline - time.monotonic())
            assert ended.status == "succeeded", ended.outcome
            assert ended.attempts == 1 + left["owned"]
            kinds = [event.data.get("kind") for event in client.tasks.events(task_id)]
        assert kinds.count("takeover") == bool(left["steps"])
        assert kinds.count("tool_result") == 2
    applied, _ = count_effects(upgraded.home / "effects")
    names = [left["name"] for left in RECORD["open"].values()]
    assert {(name, n): applied[(name, n)] for name in names for n in (0, 1)} == {
        (name, n): 1 for name in names for n in (0, 1)
    }
    assert (applied[("chat", 0)], applied[("ended", 0)], applied[("ended", 1)]) == (1, 1, 1)


def test_an_idempotency_key_of_before_finds_its_task(upgraded: Upgraded) -> None:
    old = next(task for task in listed("acme").values() if task["model"] == "pool/federation")
    with upgraded.client("acme") as client:
        again = client.tasks.create("a task of acme", model="pool/federation", idempotency_key="acme-2")
        assert again.id == old["id"]
        assert client.chat("a chat under a key", idempotency_key="acme-1").task_id in listed("acme")


def test_a_decision_of_before_has_headroom_and_for_this_version_load(upgraded: Upgraded) -> None:
    task_id = next(iter(listed("default")))
    path = f"/api/v1/tasks/{task_id}/route"
    old = ANSWERS["default"][path]["data"][0]["agents"][0]
    with upgraded.http("default") as http, upgraded.client() as client:
        new = http.get(path).json()["data"][0]["agents"][0]
        score = client.tasks.route(task_id)[0].agents[0]
    assert "headroom" not in old
    assert new["headroom"] == new["load"] == score.headroom == old["load"]
    with pytest.warns(DeprecationWarning, match="headroom"):
        assert score.load == old["load"]


def test_pools_have_their_sizes_and_agents_their_manifests(upgraded: Upgraded) -> None:
    old = {pool["name"]: pool["desired"] for pool in ANSWERS["default"]["/api/v1/pools"]["data"]}
    known = ("agent_id", "manifest", "version")
    with upgraded.client() as client:
        pools = client.pools.list()
        agents = client.agents.list()
    assert {pool.name: pool.desired for pool in pools} == {pool.name: pool.ready for pool in pools} == old
    assert [[getattr(agent, name) for name in known] for agent in agents] == [
        [agent[name] for name in known] for agent in ANSWERS["default"]["/api/v1/agents"]["data"]
    ]


def test_keys_operations_policies_and_grants_are_answered_as_before(upgraded: Upgraded) -> None:
    same = ("keys", "operations", "routing/policy", "routing/policy?tenant=acme", "memory/grants")
    with upgraded.http("default") as http:
        for path in (f"/api/v1/{name}" for name in same):
            old = ANSWERS["default"][path]
            assert updated(old, http.get(path).json()) == old, path


def test_budgets_have_their_limits(upgraded: Upgraded) -> None:
    with upgraded.http("default") as http:
        budgets = http.get("/api/v1/budgets").json()["data"]
    old = ANSWERS["default"]["/api/v1/budgets"]["data"]
    fixed = ("id", "kind", "name", "owner", "period", "tenant", "hard_usd", "soft_usd")
    assert [{name: budget[name] for name in fixed} for budget in budgets] == [
        {name: budget[name] for name in fixed} for budget in old
    ]


@pytest.mark.parametrize("tenant", TENANTS)
def test_memories_are_recalled_by_time_and_by_meaning(upgraded: Upgraded, tenant: str) -> None:
    old = [found["item"] for found in ANSWERS[tenant]["/api/v1/memory/recall"]["data"]]
    with upgraded.client(tenant) as client:
        by_time = client.memory.recall(limit=100)
        assert [(found.item.id, found.item.content, found.item.version) for found in by_time] == [
            (item["id"], item["content"], item["version"]) for item in old
        ]
        nearest = client.memory.recall(old[-1]["content"], limit=1)
    assert [found.item.id for found in nearest] == [old[-1]["id"]]


def test_a_compressed_text_gives_its_original(upgraded: Upgraded) -> None:
    with upgraded.client() as client:
        assert client.decompress(RECORD["compressed"]["text"]) == RECORD["compressed"]["content"]


def test_a_rating_of_before_can_be_replaced_and_new_work_is_done(upgraded: Upgraded) -> None:
    rated = next(task for task in listed("default").values() if task["metadata"])
    with upgraded.client() as client:
        assert client.tasks.rate(rated["id"], 0.5).rating == 0.5
        assert client.chat("hello").text == "echo: hello"
