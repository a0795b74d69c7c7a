"""Extensions: how hooks are called, what happens when they fail, and one that another package brings."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from ossa.app import extensions as app_extensions
from ossa.app.extensions import installed_agent_hooks, installed_extensions
from ossa.contracts.errors import Forbidden, InvalidRequest, OssaError
from ossa.contracts.events import TASK_ACCEPTED, TASK_FINISHED, Event
from ossa.contracts.task import NewTask, Outcome, Task, TaskStatus
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.events.consumer import Consumer
from ossa.gateway.hooks import Check, Extension, Run, TaskHook, TaskState
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores

PACKAGE = Path(__file__).parents[2] / "extension_package"
ROOT = Path(__file__).parents[3]


class Recorder(TaskHook):
    """Notes every call it gets."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def admit(self, task: NewTask, caller: Any) -> None:
        self.calls.append("admit")

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        self.calls.append(state)

    async def answer(self, run: Run) -> Outcome | None:
        self.calls.append("answer")
        return None

    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        self.calls.append("turn_fields")
        return {}

    def started(self, run: Run) -> None:
        self.calls.append("started")

    def committed(self, run: Run, steps: Any) -> None:
        self.calls.append("committed")

    def agent_lost(self, run: Run, error: Any) -> None:
        self.calls.append("agent_lost")

    def ended(self, run: Run, outcome: Outcome) -> None:
        self.calls.append("ended")

    def closed(self, run: Run) -> None:
        self.calls.append("closed")


def with_hook(hook: TaskHook) -> Any:
    return [lambda core: Extension("test", hooks=[hook])]


async def test_a_hook_sees_every_stage_of_a_task_in_order(open_rig: Any) -> None:
    hook = Recorder()
    rig = await open_rig(installed=with_hook(hook), link=FakeLink(steps=1))
    assert (await rig.ask()).status_code == 200
    before = ["admit", "asked", "opened", "scheduled", "answer", "started", "turn_fields"]
    assert hook.calls[: len(before)] == before
    assert hook.calls[-4:] == ["left", "committed", "ended", "closed"]


async def test_a_hook_hears_of_an_agent_that_was_lost_and_of_the_next_one(open_rig: Any) -> None:
    hook = Recorder()
    rig = await open_rig(installed=with_hook(hook), fleet=FakeFleet.of({"security": 2}))
    rig.link.die_at_step("security-000", 0)
    rig.link.die_at_step("security-001", 99)
    for _ in range(4):
        await rig.ask()
    lost = hook.calls.index("agent_lost")
    assert hook.calls[lost + 1 :].index("started") > 0
    assert hook.calls.count("agent_lost") == 1


class Raises(TaskHook):
    """Raises what it is told to in one method."""

    def __init__(self, error: Exception) -> None:
        self._error = error


class RaisesOnAdmit(Raises):
    async def admit(self, task: NewTask, caller: Any) -> None:
        raise self._error


class RaisesOnNarrow(Raises):
    def narrow(self, conditions: Any, request: Any, index: Any) -> Any:
        raise self._error


class RaisesOnTurn(Raises):
    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        raise self._error


class RaisesOnAnswer(Raises):
    async def answer(self, run: Run) -> Outcome | None:
        raise self._error


class RaisesAfterwards(Raises):
    def started(self, run: Run) -> None:
        raise self._error

    def ended(self, run: Run, outcome: Outcome) -> None:
        raise self._error

    def closed(self, run: Run) -> None:
        raise self._error


async def test_a_refusal_reaches_the_caller_and_nothing_is_written(open_rig: Any) -> None:
    rig = await open_rig(installed=with_hook(RaisesOnAdmit(Forbidden("not today"))))
    for path, body in (
        ("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}),
        ("/api/v1/tasks", {"input": "hi"}),
    ):
        answer = await rig.call("POST", path, body)
        assert answer.status_code == 403
        assert "not today" in answer.text
    assert (await rig.call("GET", "/api/v1/tasks")).json()["data"] == []
    assert rig.link.turns == []


@pytest.mark.parametrize("kind", [RaisesOnAdmit, RaisesOnNarrow, RaisesOnTurn])
async def test_a_broken_rule_lets_no_work_through(open_rig: Any, kind: type[Raises]) -> None:
    rig = await open_rig(installed=with_hook(kind(RuntimeError("broken"))))
    answer = await rig.ask()
    assert answer.status_code == 500
    assert rig.link.turns == []
    assert not rig.dispatcher.running
    assert not rig.dispatcher.scheduler.inflight


@pytest.mark.parametrize("kind", [RaisesOnAnswer, RaisesAfterwards])
async def test_a_broken_observer_changes_nothing_and_is_counted(open_rig: Any, kind: type[Raises]) -> None:
    rig = await open_rig(installed=with_hook(kind(RuntimeError("broken"))))
    assert (await rig.ask()).status_code == 200
    assert 'ossa_gateway_loop_failures_total{loop="hook-' in (await rig.call("GET", "/metrics")).text


class Answers(TaskHook):
    async def answer(self, run: Run) -> Outcome | None:
        return Outcome(status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "from a hook"})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hook_may_answer_in_the_agents_place(open_rig: Any, stream: bool) -> None:
    rig = await open_rig(installed=with_hook(Answers()))
    answer = await rig.ask(stream=stream)
    assert "from a hook" in answer.text
    assert rig.link.turns == []
    assert (await rig.ended(answer.headers["x-ossa-task-id"])).status is TaskStatus.SUCCEEDED


class NoSecurity(TaskHook):
    def narrow(self, conditions: Any, request: Any, index: Any) -> Any:
        return replace(
            conditions, filters={**conditions.filters, "not-security": lambda group: group.pool != "security"}
        )


async def test_a_hook_narrows_where_a_request_may_go(open_rig: Any) -> None:
    rig = await open_rig(installed=with_hook(NoSecurity()))
    assert {(await rig.ask()).headers["x-ossa-pool"] for _ in range(6)} == {"intelligence"}
    refused = await rig.ask(model="pool/security")
    assert refused.status_code == 404
    assert "not-security" in refused.json()["error"]["message"]


class AskingLink(FakeLink):
    async def run(self, agent: Any, turn: Any, *, on_delta: Any, on_steps: Any, on_call: Any = None) -> Any:
        self.result = await on_call(TurnCall(original="mine"))
        return await super().run(agent, turn, on_delta=on_delta, on_steps=on_steps)


class AnswersCalls(TaskHook):
    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        return TurnCallResult(original=f"{call.original} of {run.task.tenant}") if call.original == "mine" else None


async def test_a_hook_answers_a_turns_question_before_those_behind_it(open_rig: Any) -> None:
    rig = await open_rig(link=AskingLink())
    rig.dispatcher.hooks._call = (AnswersCalls().call, *rig.dispatcher.hooks._call)
    assert (await rig.ask()).status_code == 200
    assert rig.link.result.original == "mine of default"


async def test_a_system_of_this_package_joins_by_one_line(open_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE / "src"))
    monkeypatch.setattr(app_extensions, "SYSTEMS", ("ossa_toy",))
    rig = await open_rig()
    assert (await rig.ask()).status_code == 200
    assert (await rig.call("GET", "/api/v1/toy")).json()["tasks"] == {"default": 1}
    assert "ossa_toy_tasks_total" in (await rig.call("GET", "/metrics")).text


class RemembersCallers(TaskHook):
    def __init__(self) -> None:
        self.callers: list[Any] = []

    async def admit(self, task: NewTask, caller: Any) -> None:
        self.callers.append(caller)


async def test_admission_knows_whose_key_it_was(open_rig: Any) -> None:
    hook = RemembersCallers()
    rig = await open_rig(installed=with_hook(hook))
    headers = await rig.key("acme")
    await rig.ask(headers=headers)
    await rig.ask(headers=headers, stream=True)
    await rig.http.post("/api/v1/tasks", json={"input": "hi"}, headers=headers)
    assert [caller.tenant for caller in hook.callers] == ["acme"] * 3
    assert len({caller.key_id for caller in hook.callers}) == 1


async def forever() -> None:
    return None


async def fine() -> Check:
    return Check(ok=True)


class NotAsync(TaskHook):
    def admit(self, task: NewTask, caller: Any) -> None:  # type: ignore[override]
        raise Forbidden("never reached as a coroutine")


taken = APIRouter()
taken.add_api_route("/api/v1/tasks", forever, methods=["POST"])


@pytest.mark.parametrize(
    ("extension", "named"),
    [
        (Extension("traffic"), "traffic"),
        (Extension("mine", loops={"lease": forever}), "lease"),
        (Extension("mine", loops={"budgets": forever}), "budgets"),
        (Extension("mine", health={"journal": fine}), "journal"),
        (Extension("mine", routers=[taken]), "POST /api/v1/tasks"),
        (Extension("mine", hooks=[NotAsync()]), "NotAsync.admit"),
        (Extension("mine", hooks=[object()]), "TaskHook"),  # type: ignore[list-item]
        (None, "no Extension"),
    ],
)
async def test_what_would_replace_or_be_ignored_is_refused_at_the_start(
    open_rig: Any, extension: Any, named: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        await open_rig(installed=[lambda core: extension])


class SetsATypo(TaskHook):
    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        return {"used_todya": 1}


async def test_a_field_that_a_turn_does_not_have_is_not_ignored(open_rig: Any) -> None:
    rig = await open_rig(installed=with_hook(SetsATypo()))
    assert (await rig.ask()).status_code == 500
    assert rig.link.turns == []


async def fails(*_arguments: Any) -> Any:
    raise RuntimeError("broken")


def fails_at_once() -> None:
    raise RuntimeError("broken")


async def test_what_fails_in_one_extension_costs_no_other_series_check_or_lease(open_rig: Any) -> None:
    stores = MemoryStores()
    broken = Extension("broken", health={"broken": fails}, scrape=fails_at_once, close=fails)
    rig = await open_rig(installed=[lambda core: broken], stores=stores)
    health = await rig.call("GET", "/health")
    assert health.status_code == 503
    assert "RuntimeError" in health.json()["checks"]["broken"]["detail"]
    metrics = await rig.call("GET", "/metrics")
    assert "ossa_gateway_open_tasks" in metrics.text
    await rig.dispatcher.stop(drain_s=0.1)
    assert not rig.dispatcher.leases.all


async def test_a_consumer_reads_the_facts_it_asks_for_without_any_bus(open_rig: Any) -> None:
    kinds: asyncio.Queue[str] = asyncio.Queue()

    async def note(event: Event) -> None:
        kinds.put_nowait(event.type)

    consumers = {"mine": Consumer(note, types=(TASK_ACCEPTED, TASK_FINISHED)), "broken": fails}
    rig = await open_rig(installed=[lambda core: Extension("mine", consumers=consumers)])
    assert (await rig.ask()).status_code == 200
    async with asyncio.timeout(20):
        assert [await kinds.get(), await kinds.get()] == [TASK_ACCEPTED, TASK_FINISHED]


class Point:
    """An entry point that cannot be loaded."""

    name = "broken"
    value = "nowhere:extension"

    def load(self) -> Any:
        raise ModuleNotFoundError("No module named 'nowhere'")


def test_an_extension_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_extensions, "entry_points", lambda group: [Point()])
    with pytest.raises(InvalidRequest, match=r"broken.*nowhere"):
        installed_extensions()


def test_without_packages_there_are_no_further_extensions() -> None:
    assert installed_extensions() == []
    assert installed_agent_hooks() == ()


# Another package's


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of `tests/extension_package`, built and installed into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", target, PACKAGE]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return target


PROGRAM = """
import asyncio, json
import httpx
from ossa.app.extensions import Backends, extensions_of, installed_agent_hooks
from ossa.contracts.access import Scope
from ossa.contracts.configuration import EventSettings
from ossa.gateway.application import create_app
from ossa.gateway.core import GatewayCore
from ossa.contracts.configuration import GatewaySettings
from ossa.testing.app import admin_secret
from ossa.testing.bus import MemoryBus
from ossa.testing.gateway import FakeFleet, FakeLink, eventually
from ossa.testing.stores import MemoryStores

async def main():
    stores = MemoryStores(events=EventSettings(bootstrap_servers="memory"))
    fleet = FakeFleet.of({"security": 1}, store=stores.fleet)
    core = GatewayCore(settings=GatewaySettings(), stores=stores, fleet=fleet, link=FakeLink(), bus=MemoryBus())
    app = create_app(core, extensions_of(core, Backends()), drain_s=0.2)
    async with app.router.lifespan_context(app):
        headers = {"authorization": "Bearer " + await admin_secret(stores)}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
            body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
            chat = await http.post("/v1/chat/completions", json=body)
            async def toy():
                seen = (await http.get("/api/v1/toy")).json()
                return seen if seen["events"] and seen["rounds"] else None
            seen = await eventually(toy)
            metrics = (await http.get("/metrics")).text
            health = (await http.get("/health")).json()
            print(json.dumps({"chat": chat.status_code, "toy": seen, "agent_hooks": installed_agent_hooks(),
                "metric": "ossa_toy_tasks_total" in metrics, "health": health["checks"]["toy"]["ok"],
                "documented": "/api/v1/toy" in (await http.get("/openapi.json")).json()["paths"]}))

asyncio.run(main())
"""


def test_a_package_brings_a_hook_a_route_a_loop_a_metric_a_consumer_and_a_check(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    toy = seen.pop("toy")
    assert toy["tasks"] == {"default": 1}
    assert any("task" in event for event in toy["events"])
    assert seen == {
        "chat": 200,
        "agent_hooks": ["ossa_toy.agents:HOOK"],
        "metric": True,
        "health": True,
        "documented": True,
    }
