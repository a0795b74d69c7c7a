"""An answer that was given before is given again, says so, and is a task like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.answers import Answered, Asked, Hit
from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Outcome, Step, Task, TaskRequest, TaskStatus, Usage
from ossa.gateway.extensions.answers import MOST_AT_ONCE, AnswerReuse
from ossa.gateway.extensions.vortex import VortexMetrics
from ossa.gateway.metrics import GatewayMetrics
from ossa.testing.gateway import eventually
from ossa.testing.stores.tiers import MemoryVectors
from ossa.vortex.answers.cache import SCHEMA, AnswerCache
from ossa.vortex.vectors import word_vectors


@pytest.fixture
async def answers() -> AsyncIterator[AnswerCache]:
    settings = AnswerSettings(enabled=True, tenants=("default",), deadline_s=5)
    service = AnswerCache(MemoryVectors(SCHEMA), settings, vectorise=vector_of)
    await service.start()
    yield service
    await service.stop()


def vector_of(text: str) -> list[float]:
    found: list[float] = word_vectors().of_question(text).tolist()
    return found


async def kept(answers: AnswerCache, count: int = 1) -> None:
    await eventually(lambda: answers.counters.stored == count)


async def test_the_same_question_is_answered_without_an_agent(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    first = await rig.ask("What is a placement group?", model="pool/security")
    assert "x-ossa-cache" not in first.headers
    await kept(answers)
    hit = await rig.ask("What is a  placement group?", model="pool/security")
    assert hit.headers["x-ossa-cache"] == "exact"
    assert hit.headers["x-ossa-cache-similarity"] == "1.0000"
    assert float(hit.headers["x-ossa-cache-age"]) >= 0
    assert hit.json()["choices"] == first.json()["choices"]
    assert hit.json()["usage"]["total_tokens"] == 0
    task = await rig.task(hit.headers["x-ossa-task-id"])
    assert task.status is TaskStatus.SUCCEEDED
    assert task.outcome is not None and task.outcome.earlier is not None
    text = (await rig.call("GET", "/metrics")).text
    assert 'ossa_vortex_answers_total{outcome="exact"' in text


async def test_a_stream_is_given_it_too(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    await rig.ask("What is a lease?")
    await kept(answers)
    turns = len(rig.link.turns)
    streamed = await rig.ask("What is a lease?", stream=True)
    assert streamed.headers["x-ossa-cache"] == "exact"
    assert rig.link.answer.split()[0] in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert len(rig.link.turns) == turns


@pytest.mark.parametrize("changed", ["parameters", "history", "system"])
async def test_another_context_is_another_question(open_rig: Any, answers: AnswerCache, changed: str) -> None:
    rig = await open_rig(answers=answers)
    messages = [{"role": "user", "content": "What is a lease?"}]
    await rig.ask(messages=messages)
    await kept(answers)
    body: dict[str, Any] = {"messages": messages}
    if changed == "parameters":
        body["temperature"] = 0.2
    if changed == "history":
        body["messages"] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}, *messages]
    if changed == "system":
        body["messages"] = [{"role": "system", "content": "Be a lawyer."}, *messages]
    assert "x-ossa-cache" not in (await rig.ask(**body)).headers


async def test_tenants_share_nothing(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    await rig.ask("What is a lease?")
    await kept(answers)
    other = await rig.ask("What is a lease?", headers=await rig.key("acme"))
    assert other.status_code == 200
    assert "x-ossa-cache" not in other.headers


@pytest.mark.parametrize("said", ["off", "refresh"])
async def test_a_request_may_do_without(open_rig: Any, answers: AnswerCache, said: str) -> None:
    rig = await open_rig(answers=answers)
    await rig.ask("What is a lease?")
    await kept(answers)
    answer = await rig.ask("What is a lease?", headers={"x-ossa-cache": said})
    assert "x-ossa-cache" not in answer.headers
    if said == "refresh":
        await kept(answers, 2)
    assert (await rig.ask("hi", headers={"x-ossa-cache": "always"})).status_code == 400


async def test_what_a_tool_had_a_part_in_is_not_kept(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    rig.link.steps = 1
    await rig.ask("What time is it?")
    rig.link.steps = 0
    await rig.ask("What is a lease?")
    await kept(answers)
    assert answers.counters.stored == 1
    assert "x-ossa-cache" not in (await rig.ask("What time is it?")).headers


async def test_answers_are_forgotten_on_request(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    await rig.ask("What is a lease?")
    await kept(answers)
    assert (await rig.call("DELETE", "/api/v1/answers?agent=nobody")).json() == {"forgotten": 0}
    assert (await rig.call("DELETE", "/api/v1/answers")).json() == {"forgotten": 1}
    assert "x-ossa-cache" not in (await rig.ask("What is a lease?")).headers


async def test_a_cache_that_breaks_costs_nobody_an_answer(open_rig: Any) -> None:
    class Broken:
        async def look_up(self, asked: Asked) -> Hit | None:
            raise RuntimeError("no")

        async def keep(self, asked: Asked, answered: Answered) -> None:
            raise RuntimeError("no")

    rig = await open_rig(answers=Broken())
    assert (await rig.ask("What is a lease?")).status_code == 200


async def test_a_gateway_without_a_cache_has_nothing_to_forget(rig: Any) -> None:
    assert (await rig.call("DELETE", "/api/v1/answers")).json() == {"forgotten": 0}


async def test_who_asks_is_part_of_the_question(open_rig: Any, answers: AnswerCache) -> None:
    rig = await open_rig(answers=answers)
    await rig.ask(messages=[{"role": "user", "name": "alice", "content": "What is my name?"}])
    await kept(answers)
    other = await rig.ask(messages=[{"role": "user", "name": "bob", "content": "What is my name?"}])
    assert "x-ossa-cache" not in other.headers


class Slow:
    """Keeps an answer when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.offered: list[Answered] = []
        self.kept = 0

    async def look_up(self, asked: Asked) -> Hit | None:
        return None

    async def keep(self, asked: Asked, answered: Answered) -> None:
        self.offered.append(answered)
        await self.may_end.wait()
        self.kept += 1

    async def forget(self, tenant: str, *, agent: str | None = None, document: str | None = None) -> int:
        return 0


def task_of(**parameters: Any) -> Task:
    request = TaskRequest(messages=({"role": "user", "content": "What is a lease?"},), parameters=parameters)
    now = datetime.now(UTC)
    return Task(id="t", tenant="default", request=request, status=TaskStatus.RUNNING, created_at=now, updated_at=now)


def agent_of(temperature: float | None = None) -> AgentInfo:
    return AgentInfo(
        agent_id="a-1", incarnation="i", pool="community", manifest="a", version="1", digest="d",
        state=AgentState.READY, temperature=temperature,
    )  # fmt: skip


OUTCOME = Outcome(
    status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "Yes."}, usage=Usage(model_calls=1)
)


def outcomes(metrics: GatewayMetrics) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in metrics.group(VortexMetrics).answers.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_closing_waits_for_what_is_being_kept() -> None:
    slow, metrics = Slow(), GatewayMetrics()
    earlier = AnswerReuse(slow, metrics.group(VortexMetrics))
    earlier.keep(task_of(), agent_of(), OUTCOME, [])
    closing = asyncio.create_task(earlier.close(within_s=60))
    await eventually(lambda: slow.offered)
    assert not closing.done()
    slow.may_end.set()
    async with asyncio.timeout(10):
        await closing
    assert slow.kept == 1
    earlier.keep(task_of(), agent_of(), OUTCOME, [])
    assert not [one for one in asyncio.all_tasks() if one.get_name() == "keep-answer"]
    assert outcomes(metrics)["not_kept_closed"] == 1


async def test_an_answer_that_was_rejected_once_is_not_kept() -> None:
    """A dearer model could not be asked: that is no reason to give it to others."""
    slow, metrics = Slow(), GatewayMetrics()
    earlier = AnswerReuse(slow, metrics.group(VortexMetrics))
    payload = {"message": OUTCOME.message, "finish_reason": "stop", "model": "small", "rejected": "gave up"}
    rejected = Step(seq=1, kind="model", agent_id="a", payload=payload, at=datetime.now(UTC))
    earlier.keep(task_of(), agent_of(), OUTCOME, [rejected])
    assert not [one for one in asyncio.all_tasks() if one.get_name() == "keep-answer"]
    await earlier.close(within_s=0)


async def test_closing_cancels_what_is_late() -> None:
    slow, metrics = Slow(), GatewayMetrics()
    earlier = AnswerReuse(slow, metrics.group(VortexMetrics))
    earlier.keep(task_of(), agent_of(), OUTCOME, [])
    await eventually(lambda: slow.offered)
    async with asyncio.timeout(10):
        await earlier.close(within_s=0)
    assert not [one for one in asyncio.all_tasks() if one.get_name() == "keep-answer"]
    assert slow.kept == 0
    assert outcomes(metrics)["not_kept_closed"] == 1


async def test_so_many_are_kept_at_once_and_no_more() -> None:
    slow, metrics = Slow(), GatewayMetrics()
    earlier = AnswerReuse(slow, metrics.group(VortexMetrics))
    for _ in range(MOST_AT_ONCE + 3):
        earlier.keep(task_of(), agent_of(), OUTCOME, [])
    await eventually(lambda: len(slow.offered) == MOST_AT_ONCE)
    assert outcomes(metrics)["not_kept_busy"] == 3
    slow.may_end.set()
    await earlier.close(within_s=10)
    assert slow.kept == MOST_AT_ONCE


@pytest.mark.parametrize(
    ("asked", "manifest", "known"),
    [({}, None, None), ({}, 1.7, 1.7), ({"temperature": 0.0}, 1.7, 0.0), ({"temperature": 1.2}, None, 1.2)],
)
async def test_the_manifests_temperature_counts_where_the_request_says_none(
    asked: dict[str, Any], manifest: float | None, known: float | None
) -> None:
    slow = Slow()
    slow.may_end.set()
    earlier = AnswerReuse(slow, GatewayMetrics().group(VortexMetrics))
    earlier.keep(task_of(**asked), agent_of(manifest), OUTCOME, [])
    await earlier.close(within_s=10)
    assert [one.temperature for one in slow.offered] == [known]
