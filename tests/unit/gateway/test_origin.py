"""A request's id and trace go with its task: into the turn, the steps, and whoever carries the task on."""

from __future__ import annotations

import asyncio
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.channel import ChannelLink
from ossa.channel.link import Line
from ossa.channel.server import ChannelServer
from ossa.contracts.access import Scope
from ossa.contracts.origin import NOWHERE, Origin, acting, apart, current_origin
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Turn
from ossa.contracts.turn import TurnResult, TurnSink
from ossa.gateway.api.responses import new_task_id, next_traceparent
from ossa.testing.gateway import eventually, fake_agent
from ossa.testing.stores import MemoryStores

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
IDS = {"x-request-id": "mine-1", "traceparent": GIVEN}


# `traceparent`, by the rules of https://www.w3.org/TR/trace-context/

FOLLOWED = {
    "sampled": (GIVEN, "01"),
    "not sampled": (f"00-{TRACE}-{SPAN}-00", "00"),
    "flags that version 00 does not know": (f"00-{TRACE}-{SPAN}-ff", "01"),
    "a later version": (f"cc-{TRACE}-{SPAN}-01", "01"),
    "a later version with more fields": (f"cc-{TRACE}-{SPAN}-01-what-ever", "01"),
    "a later version that ends with a dash": (f"01-{TRACE}-{SPAN}-00-", "00"),
}
REFUSED = {
    "nothing": "",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "version 00 with more fields": f"{GIVEN}-what-ever",
    "version 00 that ends with a dash": f"{GIVEN}-",
    "a later version that goes on without a dash": f"cc-{TRACE}-{SPAN}-01.what-ever",
    "no trace": f"00-{'0' * 32}-{SPAN}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "upper case": f"00-{TRACE.upper()}-{SPAN}-01",
    "upper case flags": f"00-{TRACE}-{SPAN}-0A",
    "a short trace": f"00-{TRACE[1:]}-{SPAN}-01",
    "a long trace": f"00-{TRACE}0-{SPAN}-01",
    "a short span": f"00-{TRACE}-{SPAN[1:]}-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "short flags": f"00-{TRACE}-{SPAN}-1",
    "a short version": f"0-{TRACE}-{SPAN}-01",
    "other separators": GIVEN.replace("-", "_"),
    "no hex": f"00-{TRACE[:-1]}g-{SPAN}-01",
    "a line break": f"{GIVEN}\n",
    "two in one": f"{GIVEN},{GIVEN}",
}


@pytest.mark.parametrize(("header", "flags"), FOLLOWED.values(), ids=FOLLOWED)
def test_a_valid_trace_is_followed_by_a_span_of_our_own(header: str, flags: str) -> None:
    version, trace, span, sampled = next_traceparent(header.encode()).split("-")
    assert (version, trace, sampled) == ("00", TRACE, flags)
    assert span != SPAN


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_a_trace_that_is_not_valid_is_not_followed(header: str) -> None:
    made = next_traceparent(header.encode())
    assert TRACEPARENT.fullmatch(made)
    assert TRACE not in made
    assert made.endswith("-01")


@given(st.binary(max_size=80) | st.text("0123456789abcdefABCDEF-", max_size=70).map(str.encode))
def test_whatever_is_given_ours_is_valid(header: bytes) -> None:
    assert TRACEPARENT.fullmatch(next_traceparent(header))


def test_every_hop_is_another_one() -> None:
    assert len({next_traceparent(None) for _ in range(100)}) == 100
    assert len({next_traceparent(GIVEN.encode()) for _ in range(100)}) == 100


# The edge


async def task_of(rig: Any, answer: Any) -> Any:
    assert answer.status_code in (200, 202), answer.text
    return await rig.ended(answer.headers.get("x-ossa-task-id") or answer.json()["id"])


async def ask_both(rig: Any, headers: Any) -> list[Any]:
    """One chat and one asynchronous task."""
    chat = await rig.ask(headers=dict(headers))
    handed_in = await rig.call("POST", "/api/v1/tasks", {"model": "auto", "input": "hi"}, **dict(headers))
    return [await task_of(rig, chat), await task_of(rig, handed_in)]


async def test_a_task_keeps_the_ids_of_its_request_and_whose_key_it_was(rig: Any) -> None:
    (key,) = await rig.stores.keys.keys(tenant="default")
    for task in await ask_both(rig, IDS):
        assert task.request.origin.actor == f"key/{key.id}"
        assert (task.request.origin.tenant, task.request.origin.request_id) == ("default", "mine-1")
        assert task.request.origin.traceparent.startswith(f"00-{TRACE}-")
        assert task.request.origin.traceparent != GIVEN


async def test_a_request_without_ids_gets_some(rig: Any) -> None:
    for task in await ask_both(rig, {}):
        assert task.request.origin.request_id.startswith("req_")
        assert TRACEPARENT.fullmatch(task.request.origin.traceparent)


async def test_a_trace_that_is_given_twice_is_not_followed(rig: Any) -> None:
    headers = [("authorization", f"Bearer {rig.secret}"), ("traceparent", GIVEN), ("traceparent", GIVEN)]
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    task = await task_of(rig, await rig.http.post("/v1/chat/completions", json=body, headers=headers))
    assert TRACE not in task.request.origin.traceparent


async def test_the_task_says_both_ids(rig: Any) -> None:
    task, _ = await ask_both(rig, IDS)
    view = (await rig.call("GET", f"/api/v1/tasks/{task.id}")).json()
    assert view["request_id"] == "mine-1"
    assert view["traceparent"] == task.request.origin.traceparent
    assert "origin" not in view


async def test_the_origin_ends_with_the_request(rig: Any) -> None:
    await ask_both(rig, IDS)
    assert current_origin() == NOWHERE


async def test_an_idempotent_request_is_the_same_whatever_its_ids(rig: Any) -> None:
    first = await rig.ask(headers={"idempotency-key": "k", **IDS})
    second = await rig.ask(headers={"idempotency-key": "k", "x-request-id": "mine-2"})
    assert second.status_code == 200
    assert second.headers["x-ossa-task-id"] == first.headers["x-ossa-task-id"]
    assert (await task_of(rig, second)).request.origin.request_id == "mine-1"


async def test_what_is_logged_for_a_request_is_of_its_origin(rig: Any, monkeypatch: Any) -> None:
    seen: list[Origin] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(current_origin())  # type: ignore[method-assign]
    logger = logging.getLogger("ossa.gateway.api.responses")
    logger.addHandler(handler)
    monkeypatch.setattr(rig.stores.journal, "get", _break_down)
    try:
        answer = await rig.call("GET", f"/api/v1/tasks/{new_task_id()}", **IDS)
    finally:
        logger.removeHandler(handler)
    assert answer.status_code == 500
    assert [origin.request_id for origin in seen] == ["mine-1"]
    assert seen[0].actor.startswith("key/")


async def _break_down(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError


# The run


async def test_the_steps_of_the_gateway_have_the_ids(rig: Any) -> None:
    rig.link.die_at_step("intelligence-000", 1)
    chat = await rig.ask(model="pool/intelligence", headers=IDS)
    task = await task_of(rig, chat)
    steps = await rig.stores.journal.steps(task.id)
    ours = [step for step in steps if step.kind in ("route", "takeover")]
    assert ours
    assert {(step.request_id, step.traceparent) for step in ours} == {("mine-1", task.request.origin.traceparent)}


async def test_the_gateways_own_loops_act_as_themselves(open_rig: Any) -> None:
    stores = MemoryStores()
    seen: list[Origin] = []
    claim = stores.journal.claim

    async def watched(**options: Any) -> Any:
        seen.append(current_origin())
        return await claim(**options)

    stores.journal.claim = watched  # type: ignore[method-assign]
    await open_rig(stores=stores)
    await eventually(lambda: seen)
    assert set(seen) == {Origin(actor="system/claim")}


async def test_a_claimed_task_runs_under_the_origin_it_was_stored_with(rig: Any) -> None:
    origins = _origins_of_turns(rig)
    kept = Origin(actor="key/k1", tenant="default", request_id="mine-1", traceparent=GIVEN)
    task_id = await _left_behind(rig, kept)
    await rig.ended(task_id)
    assert origins == [kept]


async def test_a_claimed_task_of_an_older_version_runs_as_the_gateways_own_act(rig: Any) -> None:
    origins = _origins_of_turns(rig)
    task_id = await _left_behind(rig, None)
    await rig.ended(task_id)
    assert origins == [Origin(actor="system/gateway", tenant="default")]
    view = (await rig.call("GET", f"/api/v1/tasks/{task_id}")).json()
    assert "request_id" not in view


async def _left_behind(rig: Any, origin: Origin | None) -> str:
    """A task that is queued, which any replica claims."""
    request = TaskRequest(messages=[{"role": "user", "content": "hi"}], asynchronous=True, origin=origin)
    new = NewTask(id=new_task_id(), tenant="default", request=request)
    await rig.stores.journal.accept(new, owner=None)
    return new.id


def _origins_of_turns(rig: Any) -> list[Origin]:
    origins: list[Origin] = []
    run = rig.link.run

    async def watched(*args: Any, **options: Any) -> Any:
        origins.append(current_origin())
        return await run(*args, **options)

    rig.link.run = watched
    return origins


# What is stored


def test_what_was_stored_without_an_origin_is_read_and_written_as_it_was() -> None:
    old = b'{"target":{"kind":"auto","name":""},"messages":[],"parameters":{},"metadata":{},"timeout_s":null,'
    old += b'"asynchronous":false,"vortex":null,"cache":null}'
    assert TaskRequest.model_validate_json(old).origin is None
    assert TaskRequest.model_validate_json(old).json_bytes() == old
    step = Step(seq=0, kind="route", agent_id="a", payload={}, at=datetime.now(UTC))
    assert b"request_id" not in step.json_bytes()
    assert b"traceparent" not in step.json_bytes()


def test_the_target_stays_first_in_a_stored_request() -> None:
    request = TaskRequest(messages=[], origin=Origin(request_id="mine-1"))
    assert request.json_bytes().startswith(b'{"target":')
    assert TaskRequest.model_validate_json(request.json_bytes()) == request


# The agent's process


class Noting:
    """A runner that keeps the origin under which it runs."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        self.origins.append(current_origin())
        return TurnResult(outcome=Outcome(status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "x"}))


async def test_a_turn_runs_under_its_requests_origin_as_the_agents_act() -> None:
    runner = Noting()
    server = ChannelServer(token="t", host="127.0.0.1")
    server.set_runner(runner, slots=1, agent_id="a-000")
    link = ChannelLink(lambda: "t")
    origin = Origin(actor="key/k1", tenant="acme", request_id="mine-1", traceparent=GIVEN)
    try:
        await run_turn(link, await server.start(), origin)
    finally:
        await link.close()
        await server.close()
    assert runner.origins == [origin.by("agent/a-000")]


async def run_turn(link: ChannelLink, address: str, origin: Origin | None) -> None:
    async def nothing(_: Any) -> None: ...

    request = TaskRequest(messages=[{"role": "user", "content": "hi"}], origin=origin)
    turn = Turn(task_id="task_1", tenant="acme", request=request)
    await link.run(fake_agent("a-000", address=address), turn, on_delta=nothing, on_steps=nothing)


async def test_a_connection_that_turns_share_is_of_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[Origin] = []
    connection_lost = Line.connection_lost

    def watched(line: Line, error: Exception | None) -> None:
        lost.append(current_origin())
        connection_lost(line, error)

    monkeypatch.setattr(Line, "connection_lost", watched)
    server = ChannelServer(token="t", host="127.0.0.1")
    server.set_runner(Noting(), slots=1, agent_id="a-000")
    link = ChannelLink(lambda: "t")
    with acting(Origin(request_id="mine-1")):
        await run_turn(link, await server.start(), None)
    await server.close()
    await eventually(lambda: lost)
    await link.close()
    assert lost == [NOWHERE]


async def test_work_apart_keeps_all_but_the_origin() -> None:
    other: ContextVar[str] = ContextVar("other")
    other.set("kept")

    async def seen() -> tuple[Origin, str]:
        return current_origin(), other.get()

    with acting(Origin(request_id="mine-1")) as origin:
        assert await asyncio.create_task(seen(), context=apart()) == (NOWHERE, "kept")
        assert current_origin() == origin


async def test_two_requests_at_once_do_not_see_each_others_origin(rig: Any) -> None:
    headers = await rig.key(tenant="acme", scopes=[Scope.CHAT])
    both = await asyncio.gather(rig.ask(headers={**IDS}), rig.ask(headers={**headers, "x-request-id": "theirs-1"}))
    first, second = [await task_of(rig, answer) for answer in both]
    assert (first.request.origin.tenant, first.request.origin.request_id) == ("default", "mine-1")
    assert (second.request.origin.tenant, second.request.origin.request_id) == ("acme", "theirs-1")
    assert first.request.origin.actor != second.request.origin.actor
