"""One HTTP call is found again by its id and its trace wherever it went: task, steps, operation and logs."""

from __future__ import annotations

import os
import re
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from benchmarks.bench_fleet import BenchFleet
from benchmarks.kill_anywhere import actor_pids

T = TypeVar("T")
GET_THERE_S = 90.0
FIELD = re.compile(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)')
PROMPT = '[[fail:503:1]] [[delay:2]] [[tool:record_effect {"task": "one-request", "n": 0}]]'
"""A model call that is tried again (the agent logs it), a tool, and time to kill the agent in the second model call."""


@dataclass(frozen=True)
class Call:
    """The ids that one HTTP call is sent with."""

    request_id: str = field(default_factory=lambda: f"one-{secrets.token_hex(8)}")
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def headers(self) -> dict[str, str]:
        return {"x-request-id": self.request_id, "traceparent": f"00-{self.trace_id}-{secrets.token_hex(8)}-01"}

    def log_lines(self) -> list[dict[str, str]]:
        """What all processes of fleets on this machine logged about it, as fields."""
        sessions = Path(tempfile.gettempdir(), f"ossa-ray-{os.getuid()}").glob("session_*/logs")
        files = [file for folder in {path.resolve() for path in sessions} for file in folder.glob("worker-*.err")]
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
        return [dict(FIELD.findall(line)) for line in lines if f"request_id={self.request_id}" in line]

    def logged(self, event: str, **fields: str) -> dict[str, str] | None:
        """The first line with that event and these fields."""
        wanted = {"event": event, **fields}.items()
        return next((line for line in self.log_lines() if wanted <= line.items()), None)


def within_time(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + GET_THERE_S
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.1)
    raise AssertionError("it did not come to that in time")


@pytest.fixture
def http(fleet: BenchFleet) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {fleet.api_key}"}
    with httpx.Client(base_url=fleet.url, headers=headers, timeout=60) as client:
        yield client


def kill_agent(fleet: BenchFleet, agent_id: str) -> None:
    for pid in actor_pids("agent", fleet.dashboard_url):
        if f"ossa:{agent_id}" in psutil.Process(pid).cmdline()[0]:
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"{agent_id} has no process")


def steps_of(fleet: BenchFleet, task_id: str) -> Iterator[dict[str, Any]]:
    with fleet.client() as client:
        for event in client.tasks.events(task_id):
            if event.type == "step":
                yield event.data


def facts_of(http: httpx.Client, call: Call, last: str) -> list[dict[str, Any]]:
    """The facts of the request, oldest first; none before the type `last` is among them."""
    found = http.get(
        "/api/v1/events", params={"request_id": call.request_id, "order": "asc", "limit": 1000, "since": "1h"}
    )
    facts: list[dict[str, Any]] = found.json()["data"]
    return facts if last in {fact["type"] for fact in facts} else []


def agents_facts(http: httpx.Client, agent_id: str, kind: str) -> dict[str, Any] | None:
    found = http.get("/api/v1/events", params={"agent": agent_id, "type": kind, "since": "1h"}).json()["data"]
    return found[0] if found else None


def test_a_request_whose_agent_dies_is_found_in_task_turn_steps_and_logs(fleet: BenchFleet, http: httpx.Client) -> None:
    call = Call()
    answer = http.post("/api/v1/tasks", json={"model": "auto", "input": PROMPT}, headers=call.headers)
    assert answer.headers["x-request-id"] == call.request_id
    task_id = answer.json()["id"]

    steps = []
    for step in steps_of(fleet, task_id):
        steps.append(step)
        if step["kind"] == "tool_result" and "takeover" not in [known["kind"] for known in steps]:
            kill_agent(fleet, step["agent_id"])

    task = http.get(f"/api/v1/tasks/{task_id}").json()
    assert task["status"] == "succeeded", task
    traceparent = task["traceparent"]
    assert task["request_id"] == call.request_id
    assert traceparent.split("-")[1] == call.trace_id

    # The steps of the gateway (route, takeover) and of the agents (model, tools), who know them from the turn's frame.
    assert {"route", "takeover", "model", "tool_call", "tool_result"} <= {step["kind"] for step in steps}
    assert {(step["request_id"], step["traceparent"]) for step in steps} == {(call.request_id, traceparent)}

    # The log lines of agent, gateway and controller.
    first = f"agent/{steps[0]['agent_id']}"
    retried = within_time(lambda: call.logged("model_call_retried", actor=first))
    assert retried["traceparent"] == traceparent
    takeover = within_time(lambda: call.logged("task_takeover"))
    assert (takeover["task_id"], takeover["traceparent"]) == (task_id, traceparent)
    assert takeover["actor"].startswith("key/")
    reported = within_time(lambda: call.logged("agent_reported_lost"))
    assert (reported["logger"], reported["traceparent"]) == ("ossa.fleet.controller", traceparent)
    assert reported["actor"] == "system/gateway"

    # The facts: of the task, and of the agent that was lost in its turn.
    facts = within_time(lambda: facts_of(http, call, "ossa.task.finished.v1"))
    assert {fact["traceparent"] for fact in facts} == {traceparent}
    told = [fact["type"] for fact in facts if fact["subject"] == task_id]
    assert (told[0], told[-1]) == ("ossa.task.accepted.v1", "ossa.task.finished.v1")
    assert told.count("ossa.task.step.v1") == len(steps)
    lost = within_time(lambda: agents_facts(http, steps[0]["agent_id"], "ossa.agent.lost.v1"))
    assert lost["actor"] == "system/controller"


def test_an_operation_is_found_in_itself_and_in_the_controllers_log(http: httpx.Client) -> None:
    call = Call()
    size = http.get("/api/v1/pools/security").json()["desired"]
    asked = http.post("/api/v1/pools/security/scale", json={"agents": size}, headers=call.headers)
    operation_id = asked.json()["id"]

    def ended() -> dict[str, Any] | None:
        operation: dict[str, Any] = http.get(f"/api/v1/operations/{operation_id}").json()
        return operation if operation["status"] in ("succeeded", "failed") else None

    operation = within_time(ended)
    assert operation["status"] == "succeeded", operation
    assert operation["request_id"] == call.request_id
    assert operation["traceparent"].split("-")[1] == call.trace_id
    assert operation["actor"].startswith("key/")
    for event in ("operation_begun", "operation_ended"):
        line = within_time(lambda event=event: call.logged(event))  # type: ignore[misc]
        assert line["operation"] == operation_id
        assert (line["traceparent"], line["actor"]) == (operation["traceparent"], operation["actor"])

    facts = within_time(lambda: facts_of(http, call, "ossa.operation.succeeded.v1"))
    assert {fact["traceparent"].split("-")[1] for fact in facts} == {call.trace_id}
    assert {fact["subject"] for fact in facts if fact["type"].startswith("ossa.operation.")} == {
        f"operation/{operation_id}"
    }
