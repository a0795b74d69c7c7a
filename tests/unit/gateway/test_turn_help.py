"""What a turn may ask of the gateway, how a client says whether it may, and what is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.compression import CompressionOrder
from ossa.contracts.errors import NotFound, NotReady
from ossa.contracts.task import Task, TaskRequest, TaskStatus, Usage
from ossa.contracts.turn import TurnCall
from ossa.gateway.extensions.vortex import VortexCalls
from ossa.testing.gateway import FakeLink, fake_agent
from ossa.testing.stores import MemoryStores
from ossa.vortex.originals import handle_of
from ossa.vortex.service import CompressionService

LOG = "\n".join(
    [*(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200)), "ERROR certificate expired"]
)


def task(tenant: str = "acme") -> Task:
    now = datetime.now(UTC)
    asked = TaskRequest(messages=[{"role": "user", "content": "hi"}])
    return Task(id="task_1", tenant=tenant, status=TaskStatus.RUNNING, request=asked, created_at=now, updated_at=now)


AGENT = fake_agent("security-000")


async def test_it_shortens_and_fetches_for_the_tenant_of_the_task_alone() -> None:
    help = VortexCalls(CompressionService(MemoryStores().originals))
    orders = (CompressionOrder(content=LOG), CompressionOrder(content="short"))
    answer = await help.answer(TurnCall(compress=orders), task=task(), agent=AGENT)
    assert [bool(found.handles) for found in answer.compressed] == [True, False]
    assert (await help.answer(TurnCall(original=handle_of(LOG)), task=task(), agent=AGENT)).original == LOG
    with pytest.raises(NotFound):
        await help.answer(TurnCall(original=handle_of(LOG)), task=task("other"), agent=AGENT)


@pytest.mark.parametrize("ask", [TurnCall(original="vx:abcdefghij"), TurnCall(role="{STATE:pool:a:ready}")])
async def test_a_gateway_without_the_service_says_so(ask: TurnCall) -> None:
    with pytest.raises(NotReady):
        await VortexCalls().answer(ask, task=task(), agent=AGENT)


class RoleLink(FakeLink):
    """Its agents have their role resolved before they answer."""

    async def run(self, agent: Any, turn: Any, *, on_delta: Any, on_steps: Any, on_call: Any = None) -> Any:
        role = "{DATA:agent:current:pool}: {STATE:pool:current:ready} ready, {METRICS:metrics:all:ossa_gateway_agents}"
        self.found = await on_call(TurnCall(role=role))
        return await super().run(agent, turn, on_delta=on_delta, on_steps=on_steps)


async def test_a_role_is_resolved_with_what_the_gateway_knows_of_the_fleet(open_rig: Any) -> None:
    rig = await open_rig(link=RoleLink())
    await rig.call("GET", "/metrics")
    assert (await rig.ask(model="pool/security")).status_code == 200
    assert rig.link.found.role == "security: [pool ready] ready, [metrics all ossa_gateway_agents]"
    assert rig.link.found.values.startswith("Now: [pool ready] = 2, [metrics all ossa_gateway_agents] = ")


class AskingLink(FakeLink):
    """Its agents have a log shortened before they answer."""

    async def run(self, agent: Any, turn: Any, *, on_delta: Any, on_steps: Any, on_call: Any = None) -> Any:
        self.found = (await on_call(TurnCall(compress=(CompressionOrder(content=LOG),)))).compressed[0]
        result = await super().run(agent, turn, on_delta=on_delta, on_steps=on_steps)
        saved = result.outcome.usage.plus(Usage(saved_tokens=1234))
        return result.model_copy(update={"outcome": result.outcome.model_copy(update={"usage": saved})})


async def test_what_was_saved_is_told_and_counted(open_rig: Any) -> None:
    rig = await open_rig(link=AskingLink())
    answer = await rig.ask()
    assert rig.link.found.handles
    assert answer.headers["x-ossa-tokens-saved"] == "1234"
    assert answer.json()["usage"]["saved_tokens"] == 1234
    text = (await rig.call("GET", "/metrics")).text
    assert "ossa_vortex_saved_tokens_total{pool=" in text
    assert 'ossa_vortex_contents_total{kind="log",outcome="shortened"' in text
    assert 'ossa_vortex_reduction_count{kind="log"' in text
    assert 'ossa_vortex_fidelity_count{kind="log"' in text


@pytest.mark.parametrize(("said", "wanted"), [("on", True), ("Off", False), (None, None)])
async def test_the_header_goes_with_the_task(rig: Any, said: str | None, wanted: bool | None) -> None:
    headers = {"x-ossa-vortex": said} if said else {}
    assert (await rig.ask(headers=headers)).status_code == 200
    task = await rig.call("POST", "/api/v1/tasks", {"input": "hi"}, **headers)
    await rig.ended(task.json()["id"])
    assert [turn.request.vortex for _, turn in rig.link.turns] == [wanted, wanted]


async def test_a_wrong_header_is_named(rig: Any) -> None:
    answer = await rig.ask(headers={"x-ossa-vortex": "maybe"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-ossa-vortex"
