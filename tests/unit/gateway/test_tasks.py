from __future__ import annotations

import json
from typing import Any

import pytest

from ossa.contracts.access import Scope
from ossa.contracts.task import TaskStatus
from ossa.testing.gateway import FakeLink, eventually


def events_of(text: str) -> list[tuple[str | None, str, Any]]:
    """(id, event, data) of each event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


async def test_a_task_is_accepted_and_done(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/tasks", {"model": "pool/security", "input": "do it", "metadata": {"a": 1}})
    assert answer.status_code == 202
    task = answer.json()
    assert answer.headers["location"] == f"/api/v1/tasks/{task['id']}"
    await rig.ended(task["id"])
    view = (await rig.call("GET", answer.headers["location"])).json()
    assert view["status"] == "succeeded"
    assert view["model"] == "pool/security"
    assert view["metadata"] == {"a": 1}
    assert view["outcome"]["message"]["content"] == "Hello from a fake agent."
    assert rig.link.turns[0][1].request.messages == [{"role": "user", "content": "do it"}]


async def test_tasks_wait_in_the_queue_while_the_fleet_is_full(rig: Any) -> None:
    rig.link.hold()
    ids = [(await rig.call("POST", "/api/v1/tasks", {"input": str(i)})).json()["id"] for i in range(40)]
    rig.link.let_go()
    tasks = [await rig.ended(task_id) for task_id in ids]
    assert {task.status for task in tasks} == {TaskStatus.SUCCEEDED}
    assert len(rig.link.turns) == 40


async def test_a_tenants_queue_is_bounded(open_rig: Any) -> None:
    rig = await open_rig(max_queued_tasks=2)
    rig.link.hold()
    for _ in range(2):
        assert (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).status_code == 202
    answer = await rig.call("POST", "/api/v1/tasks", {"input": "x"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    assert answer.json()["code"] == "fleet_busy"


async def test_an_unknown_target_is_refused_before_it_is_accepted(rig: Any) -> None:
    for model in ("pool/nope", "agent/nope", "gpt-4o"):
        answer = await rig.call("POST", "/api/v1/tasks", {"model": model, "input": "x"})
        assert answer.status_code == 404
        assert answer.json()["param"] == "model"
    assert await rig.stores.journal.count_open() == 0


async def test_a_running_task_is_cancelled(rig: Any) -> None:
    rig.link.hold()
    task_id = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"]
    await eventually(lambda: rig.link.running == 1)
    answer = await rig.call("POST", f"/api/v1/tasks/{task_id}/cancel")
    assert answer.status_code == 202
    assert (await rig.ended(task_id)).status is TaskStatus.CANCELLED
    assert rig.link.cancelled == [task_id]
    again = await rig.call("POST", f"/api/v1/tasks/{task_id}/cancel")
    assert again.json()["status"] == "cancelled"


async def test_a_cancellation_reaches_the_replica_that_runs_the_task(open_rig: Any) -> None:
    one = await open_rig()
    one.link.hold()
    other = await open_rig(stores=one.stores, fleet=one.fleet)
    task_id = (await one.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"]
    await eventually(lambda: one.link.running == 1)
    await other.call("POST", f"/api/v1/tasks/{task_id}/cancel")
    assert (await one.ended(task_id)).status is TaskStatus.CANCELLED


async def test_events_are_the_journaled_steps_and_an_end(open_rig: Any) -> None:
    rig = await open_rig(link=FakeLink(steps=2))
    task_id = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"]
    events = events_of((await rig.call("GET", f"/api/v1/tasks/{task_id}/events")).text)
    assert [(found, name) for found, name, _ in events] == [
        ("0", "step"),
        ("1", "step"),
        ("2", "step"),
        ("3", "step"),
        ("4", "step"),
        ("5", "step"),
        (None, "end"),
    ]
    assert [data["kind"] for _, _, data in events[:-1]] == [
        "route",
        "model",
        "tool_call",
        "model",
        "tool_call",
        "model",
    ]
    assert events[-1][2]["status"] == "succeeded"


async def test_events_go_on_after_the_last_one_seen(open_rig: Any) -> None:
    rig = await open_rig(link=FakeLink(steps=2))
    task_id = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"]
    path = f"/api/v1/tasks/{task_id}/events"
    events = events_of((await rig.call("GET", path, **{"last-event-id": "3"})).text)
    assert [found for found, _, _ in events] == ["4", "5", None]
    wrong = await rig.call("GET", path, **{"last-event-id": "x"})
    assert wrong.status_code == 422


async def test_one_tenant_never_sees_anothers_tasks(rig: Any) -> None:
    task_id = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"]
    other = await rig.key("other")
    for method, path in (
        ("GET", f"/api/v1/tasks/{task_id}"),
        ("GET", f"/api/v1/tasks/{task_id}/events"),
        ("POST", f"/api/v1/tasks/{task_id}/cancel"),
    ):
        assert (await rig.http.request(method, path, headers=other)).status_code == 404
    assert (await rig.http.get("/api/v1/tasks", headers=other)).json()["data"] == []
    assert (await rig.ended(task_id)).status is TaskStatus.SUCCEEDED


async def test_tasks_are_listed_newest_first_by_pages(rig: Any) -> None:
    ids = [(await rig.call("POST", "/api/v1/tasks", {"input": str(i)})).json()["id"] for i in range(5)]
    first = (await rig.call("GET", "/api/v1/tasks?limit=3")).json()
    assert len(first["data"]) == 3
    rest = (await rig.call("GET", f"/api/v1/tasks?limit=3&before={first['next']}")).json()
    assert rest["next"] is None
    assert {task["id"] for task in first["data"] + rest["data"]} == set(ids)
    for task_id in ids:
        await rig.ended(task_id)
    assert (await rig.call("GET", "/api/v1/tasks?status=failed")).json()["data"] == []
    assert len((await rig.call("GET", "/api/v1/tasks?status=succeeded")).json()["data"]) == 5


async def test_the_same_key_and_body_give_the_same_task(rig: Any) -> None:
    body = {"input": "x", "metadata": {"a": 1, "b": 2}}
    same = {"metadata": {"b": 2, "a": 1}, "input": "x"}
    one = await rig.call("POST", "/api/v1/tasks", body, **{"idempotency-key": "k"})
    other = await rig.call("POST", "/api/v1/tasks", same, **{"idempotency-key": "k"})
    assert one.json()["id"] == other.json()["id"]
    third = await rig.call("POST", "/api/v1/tasks", {"input": "y"}, **{"idempotency-key": "k"})
    assert third.status_code == 409
    assert third.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_a_strange_idempotency_key_is_refused(rig: Any, key: str) -> None:
    headers = {"authorization": f"Bearer {rig.secret}", "idempotency-key": key.encode("latin-1")}
    answer = await rig.http.post("/api/v1/tasks", json={"input": "x"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["param"] == "Idempotency-Key"


@pytest.mark.parametrize("task_id", ["x", "task_", "task_" + "g" * 32, "task_%00", "task_" + "0" * 33])
async def test_what_is_no_task_id_is_not_found(rig: Any, task_id: str) -> None:
    assert (await rig.call("GET", f"/api/v1/tasks/{task_id}")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": ""},
        {"input": "x", "messages": [{"role": "user", "content": "x"}]},
        {"input": "x", "surprise": 1},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"input": "x", "parameters": {"max_tokens": -1}},
        {"input": "x", "metadata": {"deep": {"nul": "\0"}}},
        {"input": "x", "timeout_s": 0},
    ],
)
async def test_a_wrong_task_is_refused_by_the_name_of_its_field(rig: Any, body: Any) -> None:
    answer = await rig.call("POST", "/api/v1/tasks", body)
    assert answer.status_code == 422
    assert answer.json()["param"]


async def test_a_key_needs_the_scope(rig: Any) -> None:
    headers = await rig.key(scopes=[Scope.CHAT])
    answer = await rig.http.post("/api/v1/tasks", json={"input": "x"}, headers=headers)
    assert answer.status_code == 403
    assert "tasks" in answer.json()["detail"]


async def test_a_page_of_long_tasks_is_bounded_and_the_next_goes_on(rig: Any) -> None:
    rig.link.hold()
    body = {"input": "x", "metadata": {"long": "x" * 1_500_000}}
    ids = [(await rig.call("POST", "/api/v1/tasks", body)).json()["id"] for _ in range(7)]
    found, path, pages = [], "/api/v1/tasks", 0
    while True:
        answer = await rig.call("GET", path)
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.content) < 4.1 * 2**20
        page = answer.json()
        found += [task["id"] for task in page["data"]]
        pages += 1
        if page["next"] is None:
            break
        path = f"/api/v1/tasks?before={page['next']}"
    assert found == sorted(ids, reverse=True)
    assert pages == 4


async def test_a_task_longer_than_a_page_is_a_page(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.gateway.api.tasks.PAGE_BYTES", 1000)
    rig.link.hold()
    ids = [
        (await rig.call("POST", "/api/v1/tasks", {"input": "x", "metadata": {"long": "x" * 2000}})).json()["id"]
        for _ in range(2)
    ]
    first = (await rig.call("GET", "/api/v1/tasks")).json()
    assert [task["id"] for task in first["data"]] == [ids[1]]
    rest = (await rig.call("GET", f"/api/v1/tasks?before={first['next']}")).json()
    assert ([task["id"] for task in rest["data"]], rest["next"]) == ([ids[0]], None)


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 12), (5, [5, 5, 2]), (12, [12, 0]), (50, [12])])
async def test_pages_of_short_tasks_hold_as_many_as_asked_for(rig: Any, limit: int, sizes: list[int]) -> None:
    ids = [(await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()["id"] for _ in range(12)]
    found, path, pages = [], f"/api/v1/tasks?limit={limit}", []
    while True:
        page = (await rig.call("GET", path)).json()
        pages.append(len(page["data"]))
        found += [task["id"] for task in page["data"]]
        if page["next"] is None:
            break
        path = f"/api/v1/tasks?limit={limit}&before={page['next']}"
    assert [size for size in pages if size] == [size for size in sizes if size]
    assert found == sorted(ids, reverse=True)
