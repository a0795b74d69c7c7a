"""Tasks, tools and their journal through the public API."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from benchmarks.bench_fleet import BenchFleet
from benchmarks.effects import count_effects
from benchmarks.kill_anywhere import EFFECTS_A_TASK, prompt
from ossa.sdk.connecting import connect


def test_a_task_uses_its_tool_and_each_effect_happens_once(fleet: BenchFleet, effects: Path) -> None:
    with fleet.client() as client:
        task = client.tasks.create(prompt("e2e"))
        ended = client.tasks.wait(task.id, timeout_s=60)
        events = list(client.tasks.events(task.id))
    assert ended.status == "succeeded", ended.outcome
    applied, _ = count_effects(effects)
    assert [applied[("e2e", n)] for n in range(EFFECTS_A_TASK)] == [1] * EFFECTS_A_TASK
    assert [event.data.get("kind") for event in events].count("tool_result") == EFFECTS_A_TASK
    assert events[-1].type == "end"


def test_the_same_idempotency_key_is_the_same_task(fleet: BenchFleet) -> None:
    with fleet.client() as client:
        first = client.tasks.create("once", idempotency_key="e2e-once")
        assert client.tasks.create("once", idempotency_key="e2e-once").id == first.id


def test_a_long_task_can_be_cancelled(fleet: BenchFleet) -> None:
    with fleet.client() as client:
        task = client.tasks.create("[[delay:60]]")
        client.tasks.cancel(task.id)
        assert client.tasks.wait(task.id, timeout_s=30).status == "cancelled"


def test_another_tenant_sees_nothing_of_it(fleet: BenchFleet) -> None:
    with fleet.client() as client:
        task = client.tasks.create("mine")
        key = client.keys.create(name="other", tenant="other", scopes=["chat", "tasks"])
    with connect(fleet.url, key.secret.get_secret_value()) as other:
        assert task.id not in {seen.id for seen in other.tasks.list()}


def test_the_metrics_are_for_prometheus(fleet: BenchFleet) -> None:
    with urllib.request.urlopen(f"{fleet.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert "ossa_gateway_" in text
    assert fleet.api_key not in text
