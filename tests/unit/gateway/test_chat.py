from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from ossa.contracts.task import ErrorInfo, Outcome, TaskStatus, Usage
from ossa.testing.gateway import eventually, fake_agent


async def test_the_openai_client_gets_an_answer(rig: Any) -> None:
    raw = await rig.openai.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "hi"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello from a fake agent."
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 5, 12)
    assert raw.headers["x-ossa-agent"].startswith(("intelligence-", "security-"))
    assert raw.headers["x-ossa-pool"] in ("intelligence", "security")
    assert raw.headers["x-ossa-model"] == "fake-model"
    assert float(raw.headers["x-ossa-cost-usd"]) == pytest.approx(0.0002)
    assert raw.headers["x-request-id"].startswith("req_")
    task = await rig.task(raw.headers["x-ossa-task-id"])
    assert task.status is TaskStatus.SUCCEEDED
    assert answer.id == "chatcmpl-" + task.id.removeprefix("task_")


async def test_the_openai_client_streams(rig: Any) -> None:
    stream = await rig.openai.chat.completions.create(
        model="pool/security",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello from a fake agent."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_names_its_task_and_agent_in_the_headers(rig: Any) -> None:
    answer = await rig.ask(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-ossa-agent"]
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (await rig.ended(answer.headers["x-ossa-task-id"])).status is TaskStatus.SUCCEEDED


async def test_the_client_lists_models(rig: Any) -> None:
    names = [model.id async for model in rig.openai.models.list()]
    assert names == ["auto", "pool/intelligence", "pool/security", "agent/intelligence-agent", "agent/security-agent"]
    assert (await rig.openai.models.retrieve("pool/security")).id == "pool/security"
    with pytest.raises(openai.NotFoundError):
        await rig.openai.models.retrieve("pool/nope")


async def test_the_clients_own_error_classes_are_raised(rig: Any) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await rig.openai.chat.completions.create(model="pool/nope", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as wrong:
        await rig.openai.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}], n=2)
    assert wrong.value.param == "n"
    stranger = rig.openai.with_options(api_key="sk-nope")
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "auto"}, "messages"),
        ({"model": "auto", "messages": []}, "messages"),
        ({"model": "auto", "messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": 3, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "auto", "messages": ["x"]}, "messages.0"),
        ({"model": "auto", "messages": [{"role": "boss", "content": "x"}]}, "messages.0.role"),
        ({"model": "auto", "messages": [{"role": "user"}]}, "messages.0.content"),
        ({"model": "auto", "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"model": "auto", "messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
        ({"model": "auto", "messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        ({"model": "auto", "messages": [{"role": "user", "content": "a\0b"}]}, "messages.0.content"),
        ({"model": "auto", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "max_tokens"),
        ({"model": "auto", "messages": [{"role": "user", "content": "x"}], "temperature": "hot"}, "temperature"),
        ({"model": "auto", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}, "stream"),
        ({"model": "auto", "messages": [{"role": "user", "content": "x"}], "timeout_s": -1}, "timeout_s"),
        ([], "body"),
    ],
)
async def test_a_wrong_body_is_refused_by_the_name_of_its_field(rig: Any, body: Any, param: str) -> None:
    answer = await rig.call("POST", "/v1/chat/completions", body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert await rig.stores.journal.count_open() == 0


async def test_parameters_pass_through_to_the_agent(rig: Any) -> None:
    await rig.ask(temperature=0.1, seed=7, response_format={"type": "json_object"}, metadata={"a": "b"}, user="u")
    request = rig.link.turns[0][1].request
    assert request.parameters == {
        "temperature": 0.1,
        "seed": 7,
        "response_format": {"type": "json_object"},
        "user": "u",
    }
    assert request.metadata == {"a": "b"}


async def test_a_failed_turn_is_an_error_in_openais_form_with_the_task(rig: Any) -> None:
    info = ErrorInfo(code="model_failed", message="The endpoint is down.")
    rig.link.end_with(Outcome(status=TaskStatus.FAILED, error=info, usage=Usage(cost_usd=0.5)))
    answer = await rig.ask()
    assert answer.status_code == 502
    assert answer.json()["error"] == {
        "message": "The endpoint is down.",
        "type": "api_error",
        "param": None,
        "code": "model_failed",
    }
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-ossa-cost-usd"] == "0.50000000"
    assert (await rig.task(answer.headers["x-ossa-task-id"])).status is TaskStatus.FAILED


async def test_a_stream_that_fails_before_its_first_piece_is_an_ordinary_error(rig: Any) -> None:
    rig.link.answer = ""
    rig.link.end_with(Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="limit_exceeded", message="Enough.")))
    answer = await rig.ask(stream=True)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "limit_exceeded"


async def test_a_full_fleet_answers_429_and_accepts_nothing(rig: Any) -> None:
    rig.link.hold()
    asked = [asyncio.create_task(rig.ask(model="pool/security")) for _ in range(8)]
    await eventually(lambda: rig.link.running == 8)
    answer = await rig.ask(model="pool/security")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert await rig.stores.journal.count_open() == 8
    rig.link.let_go()
    assert {(await one).status_code for one in asked} == {200}


async def test_one_who_waits_gets_the_seat_that_is_given_back(open_rig: Any) -> None:
    rig = await open_rig(busy_wait_s=5)
    rig.link.hold()
    asked = [asyncio.create_task(rig.ask(model="pool/security")) for _ in range(9)]
    await eventually(lambda: rig.link.running == 8)
    rig.link.let_go()
    assert {(await one).status_code for one in asked} == {200}


async def test_more_than_max_inflight_is_refused(open_rig: Any) -> None:
    rig = await open_rig(max_inflight=2)
    rig.link.hold()
    asked = [asyncio.create_task(rig.ask()) for _ in range(2)]
    await eventually(lambda: rig.link.running == 2)
    assert (await rig.ask()).status_code == 429
    rig.link.let_go()
    assert {(await one).status_code for one in asked} == {200}


async def test_a_chat_is_two_journal_writes_and_one_turn(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    for name in ("accept", "append", "finish", "release", "usage_today", "steps", "get"):
        real = getattr(rig.stores.journal, name)

        def counting(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            written.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(rig.stores.journal, name, counting)
    assert (await rig.ask()).status_code == 200
    assert written == ["accept", "finish"]
    assert len(rig.link.turns) == 1


async def test_a_client_that_hangs_up_cancels_its_chat(rig: Any) -> None:
    rig.link.hold()
    asked = asyncio.create_task(rig.ask())
    await eventually(lambda: rig.link.running == 1)
    asked.cancel()
    task_id = rig.link.turns[0][1].task_id
    assert (await rig.ended(task_id)).status is TaskStatus.CANCELLED
    assert rig.link.cancelled == [task_id]
    assert dict(rig.dispatcher.scheduler.inflight) == {}


async def test_a_client_with_a_key_may_hang_up_and_come_back(rig: Any) -> None:
    rig.link.hold()
    headers = {"idempotency-key": "k1"}
    asked = asyncio.create_task(rig.ask(headers=headers))
    await eventually(lambda: rig.link.running == 1)
    asked.cancel()
    again = asyncio.create_task(rig.ask(headers=headers))
    await asyncio.sleep(0.05)
    assert rig.link.cancelled == []
    rig.link.let_go()
    answer = await again
    assert answer.status_code == 200
    assert len(rig.link.turns) == 1


async def test_the_same_key_and_body_give_the_same_answer(rig: Any) -> None:
    headers = {"idempotency-key": "k1"}
    first = await rig.ask(headers=headers)
    again = await rig.ask(headers=headers)
    streamed = await rig.ask(headers={"idempotency-key": "k2"}, stream=True)
    streamed_again = await rig.ask(headers={"idempotency-key": "k2"}, stream=True)
    assert again.json()["choices"] == first.json()["choices"]
    assert again.headers["x-ossa-task-id"] == first.headers["x-ossa-task-id"]
    assert streamed_again.headers["x-ossa-task-id"] == streamed.headers["x-ossa-task-id"]
    assert streamed_again.text.endswith("data: [DONE]\n\n")
    assert len(rig.link.turns) == 2


async def test_the_same_key_with_another_body_is_a_conflict(rig: Any) -> None:
    headers = {"idempotency-key": "k1"}
    await rig.ask("one", headers=headers)
    answer = await rig.ask("two", headers=headers)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_conflict"
    assert answer.headers["x-should-retry"] == "false"


async def test_a_key_of_another_tenant_is_another_key(rig: Any) -> None:
    mine = await rig.ask("one", headers={"idempotency-key": "k1"})
    other = await rig.key("other")
    theirs = await rig.ask("two", headers={"idempotency-key": "k1", **other})
    assert theirs.status_code == 200
    assert theirs.headers["x-ossa-task-id"] != mine.headers["x-ossa-task-id"]


async def test_a_repeated_chat_waits_for_the_running_one(rig: Any) -> None:
    rig.link.hold()
    headers = {"idempotency-key": "k1"}
    one = asyncio.create_task(rig.ask(headers=headers))
    await eventually(lambda: rig.link.running == 1)
    other = asyncio.create_task(rig.ask(headers=headers))
    await asyncio.sleep(0.02)
    rig.link.let_go()
    answers = [await one, await other]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(rig.link.turns) == 1


async def test_a_chat_with_a_key_that_finds_no_room_is_put_back_and_done_later(rig: Any) -> None:
    for agent in rig.fleet.snapshot().agents:
        rig.link.busy(agent.agent_id)
    headers = {"idempotency-key": "k1"}
    answer = await rig.ask(headers=headers)
    assert answer.status_code == 429
    task_id = answer.headers["x-ossa-task-id"]
    for agent in rig.fleet.snapshot().agents:
        rig.link.free(agent.agent_id)
    again = await rig.ask(headers=headers)
    assert again.status_code == 200
    assert again.headers["x-ossa-task-id"] == task_id


async def test_a_turn_that_takes_too_long_is_ended(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.gateway.task_run.TIMEOUT_GRACE_S", 0.0)
    rig.link.hold()
    answer = await rig.ask(timeout_s=0.05)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "timed_out"
    assert rig.link.cancelled


async def test_a_day_is_read_only_for_agents_with_daily_limits(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:

    await rig.ask(model="pool/security")
    rig.fleet.set_agents([fake_agent("security-000", max_tokens_per_day=100)])
    await rig.ask(model="pool/security")
    used = [turn.used_today.tokens for _, turn in rig.link.turns]
    assert used == [0, 12]
