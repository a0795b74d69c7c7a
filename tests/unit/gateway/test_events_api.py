"""`/api/v1/events` of two replicas over one fact log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from ossa.contracts.access import Scope
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Fact, Message
from ossa.contracts.facts import FACTS, Act
from ossa.contracts.origin import Origin, acting
from ossa.events.consumer import Consumer
from ossa.gateway.hooks import Extension
from ossa.testing.gateway import eventually
from ossa.testing.stores import MemoryStores

pytestmark = pytest.mark.asyncio

PATH = "/api/v1/events"


class AgentMoved(Act):
    """Something happened to an agent of a test"""

    TYPE: ClassVar[str] = "ossa.agent.moved.v1"

    agent: str
    number: int


class SecretMade(Act):
    """Something happened that only admins see"""

    TYPE: ClassVar[str] = "ossa.secret.made.v1"


for model in (AgentMoved, SecretMade):
    del FACTS[model.TYPE]  # the catalogue is the product's alone


def moved(number: int, *, tenant: str = "acme", agent: str = "a-1", **more: Any) -> Fact:
    return Fact(AgentMoved(agent=agent, number=number), f"agent/{agent}", tenant, **more)


@dataclass
class Stream:
    """What a client of one stream has got so far, as (id, data); comments are (id, None)."""

    events: list[tuple[str, Any]] = field(default_factory=list)
    status: int = 0
    ended: bool = False

    @property
    def numbers(self) -> list[int]:
        return [data["data"]["number"] for _, data in self.events if data is not None]


@asynccontextmanager
async def streaming(rig: Any, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """Reads a stream as it comes, which httpx's transport for apps does not."""
    stream, buffer, gone = Stream(), b"", asyncio.Event()
    sent = [(b"authorization", f"Bearer {rig.secret}".encode()), (b"accept", b"text/event-stream")]
    sent += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": PATH, "raw_path": PATH.encode(), "query_string": f"{query}&type={AgentMoved.TYPE}".encode(),
        "headers": sent, "root_path": "",
        "server": ("gateway", 80), "client": ("test", 1),
    }  # fmt: skip
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal buffer
        stream.status = message.get("status", stream.status)
        buffer += message.get("body", b"")
        *blocks, buffer = buffer.split(b"\n\n")
        for block in blocks:
            lines = dict(line.split(": ", 1) for line in block.decode().splitlines() if line[0] != ":")
            if "id" in lines:
                stream.events.append((lines["id"], json.loads(lines["data"]) if "data" in lines else None))

    async def run() -> None:
        await rig.app(scope, receive, send)
        stream.ended = True

    task = asyncio.create_task(run())
    try:
        yield stream
    finally:
        gone.set()
        await asyncio.wait_for(task, 10)


async def page(rig: Any, query: str = "", **headers: str) -> dict[str, Any]:
    """Facts of the test alone, unless the query names other types."""
    query = query if "type=" in query else f"{query}&type={AgentMoved.TYPE}"
    answer = await rig.call("GET", f"{PATH}?{query}", **headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [event["data"].get("number") for event in found["data"]]


@pytest.fixture
async def stores() -> MemoryStores:
    return MemoryStores()


@pytest.fixture
async def replicas(open_rig: Any, stores: MemoryStores) -> tuple[Any, Any]:
    first = await open_rig(stores=stores)
    return first, await open_rig(stores=stores, fleet=first.fleet, link=first.link)


# Pages


async def test_pages_go_on_at_the_other_replica_back_and_forth(replicas: tuple[Any, Any], stores: MemoryStores) -> None:
    for first in range(0, 30, 3):
        await stores.facts.tell([moved(first), moved(first + 1), moved(first + 2)])
    for order, whole in (("asc", list(range(30))), ("desc", list(range(29, -1, -1)))):
        found: list[int] = []
        cursor, turn = "", 0
        while True:
            query = f"order={order}&limit=7" + (f"&after={cursor}" if cursor else "")
            got = await page(replicas[turn % 2], query)
            found += numbers(got)
            if got["next"] is None:
                break
            cursor, turn = got["next"], turn + 1
        assert found == whole
        assert turn >= 4


async def test_follow_of_a_page_is_where_later_facts_begin(replicas: tuple[Any, Any], stores: MemoryStores) -> None:
    await stores.facts.tell([moved(n) for n in range(5)])
    newest_first = await page(replicas[0], "limit=2")
    oldest_first = await page(replicas[0], "order=asc")
    assert (numbers(newest_first), numbers(oldest_first)) == ([4, 3], [0, 1, 2, 3, 4])
    await stores.facts.tell([moved(5)])
    for found in (newest_first, oldest_first):
        assert numbers(await page(replicas[1], f"order=asc&after={found['follow']}")) == [5]


async def test_a_page_that_finds_little_is_short_and_has_a_next(
    replicas: tuple[Any, Any], stores: MemoryStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossa.events.reading.MOST_ROWS", 100)
    for number in range(250):
        await stores.facts.tell([moved(number, agent="rare" if number == 125 else "many")])
    for order in ("asc", "desc"):
        found, pages, cursor = [], 0, ""
        while True:
            got = await page(replicas[pages % 2], f"agent=rare&order={order}{cursor}")
            found += numbers(got)
            pages += 1
            if got["next"] is None:
                break
            cursor = f"&after={got['next']}"
        assert found == [125]
        assert pages >= 3


async def test_filters_let_through_what_fits_all_of_them(rig: Any) -> None:
    log = rig.stores.facts
    with acting(Origin(actor="key/key_1", request_id="req-1")):
        await log.tell([moved(1, agent="a-1")])
    await log.tell([moved(2, agent="a-2"), Fact(SecretMade(), "secret/s", "acme")])
    assert (await rig.ask()).status_code == 200
    for query, expected in {
        "type=ossa.agent.": [2, 1],
        "type=ossa.agent.moved.v1&type=ossa.secret.": [None, 2, 1],
        "agent=a-2&type=ossa.agent.": [2],
        "subject=agent/a-1": [1],
        "actor=key/key_1": [1],
        "request_id=req-1": [1],
        "actor=key/key_1&agent=a-2": [],
        "type=ossa.agent.&until=1h": [],
        "type=ossa.agent.&since=1h": [2, 1],
    }.items():
        assert numbers(await page(rig, query)) == expected, query
    kinds = [event["type"] for event in (await page(rig, "type=ossa.task.&order=asc"))["data"]]
    assert (kinds[0], kinds[-1]) == ("ossa.task.accepted.v1", "ossa.task.finished.v1")
    agent = (await page(rig, "type=ossa.task.finished.v1"))["data"][0]["data"]["agent"]
    named = (await page(rig, f"agent={agent}&type=ossa.task."))["data"]
    assert {event["data"]["agent"] for event in named} == {agent}


async def test_since_and_until_bound_a_long_log(open_rig: Any) -> None:
    now = datetime.now(UTC)
    stores = MemoryStores(clock=lambda: clock[0])
    clock = [now - timedelta(hours=10)]
    rig = await open_rig(stores=stores)
    for number in range(600):
        clock[0] = now - timedelta(minutes=600 - number)
        await stores.facts.tell([moved(number)])
        if number % 100 == 7:
            await stores.facts.put([Message("ossa.events", "k", b"garbage")])
    clock[0] = now
    late = (now - timedelta(minutes=60)).isoformat().replace("+00:00", "Z")
    early = (now - timedelta(minutes=90)).isoformat().replace("+00:00", "Z")
    for order in ("asc", "desc"):
        found, cursor = [], ""
        while True:
            got = await page(rig, f"order={order}&since={early}&until={late}&limit=10{cursor}")
            found += numbers(got)
            if got["next"] is None:
                break
            cursor = f"&after={got['next']}"
        assert sorted(found) == list(range(510, 540)), order


async def test_what_was_put_back_for_a_group_is_not_shown_again(rig: Any) -> None:
    await rig.stores.facts.tell([moved(1)])
    await rig.stores.facts.put([Message("ossa.events", "agent/a-1", b'{"id": "again"}')])
    assert numbers(await page(rig)) == [1]


# Who sees what


async def test_a_tenant_never_sees_another_s_facts_nor_the_fleet_s(rig: Any) -> None:
    await rig.stores.facts.tell([moved(1), moved(2, tenant="other"), moved(3, tenant="_system")])
    acme = await rig.key("acme")
    for query in ("", "order=asc", "agent=a-1", "tenant=acme", "stream=true&limit=1&since=1h"):
        answer = await rig.call("GET", f"{PATH}?{query}", **acme)
        assert answer.status_code == 200
        assert '"tenant":"acme"' in answer.text and "other" not in answer.text and "_system" not in answer.text
    for tenant in ("other", "_system"):
        refused = await rig.call("GET", f"{PATH}?tenant={tenant}", **acme)
        assert (refused.status_code, refused.json()["param"]) == (403, "tenant")
    assert numbers(await page(rig, "order=asc")) == [1, 2, 3]
    assert numbers(await page(rig, "tenant=_system")) == [3]
    plain = await rig.key("default", [Scope.AGENTS_READ])
    assert numbers(await page(rig, **plain)) == []


async def test_scopes_say_which_types_a_key_sees(rig: Any) -> None:
    await rig.stores.facts.tell([moved(1, tenant="default"), Fact(SecretMade(), "secret/s", "default")])
    assert (await rig.ask()).status_code == 200
    reader = await rig.key("default", [Scope.AGENTS_READ])
    worker = await rig.key("default", [Scope.AGENTS_READ, Scope.TASKS])
    admin = await rig.key("default")

    async def seen(headers: dict[str, str], query: str = "") -> set[str]:
        return {event["type"].split(".")[1] for event in (await page(rig, query, **headers))["data"]}

    assert await seen(reader, "type=ossa.agent.") == {"agent"}
    assert await seen(reader, "type=ossa.") == {"agent"}
    assert await seen(worker, "type=ossa.") == {"agent", "task"}
    assert {"agent", "task", "secret", "key"} <= await seen(admin, "type=ossa.")
    for headers, kind in ((reader, "ossa.task."), (reader, "ossa.task.finished.v1"), (worker, "ossa.secret.")):
        refused = await rig.call("GET", f"{PATH}?type={kind}", **headers)
        assert (refused.status_code, refused.json()["param"]) == (403, "type")
    nothing = await rig.key("default", [Scope.CHAT])
    assert (await rig.call("GET", PATH, **nothing)).status_code == 403
    assert (await rig.http.get(PATH)).status_code == 401


@pytest.mark.parametrize(("query", "param"), [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("order=up", "order"),
    ("after=12", "after"), ("after=f", "after"), ("after=fzz", "after"), ("after=f" + "1" * 40, "after"),
    ("since=yesterday", "since"), ("since=2026-01-01T00:00:00", "since"), ("until=5", "until"),
    ("since=999999999d", "since"),
    ("type=a%20b", "type.0"), ("type=", "type.0"), ("type=..", "type.0"), ("tenant=", "tenant"),
    ("agnet=x", "agnet"), ("stream=true&until=1h", "until"),
])  # fmt: skip
async def test_a_wrong_value_is_named(rig: Any, query: str, param: str) -> None:
    answer = await rig.call("GET", f"{PATH}?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["param"] == param
    assert answer.json()["detail"]


async def test_a_wrong_last_event_id_is_named(rig: Any) -> None:
    answer = await rig.call("GET", f"{PATH}?stream=true", **{"last-event-id": "7"})
    assert (answer.status_code, answer.json()["param"]) == (422, "Last-Event-ID")


# The stream


async def test_a_stream_is_taken_up_at_the_other_replica_with_nothing_lost_or_twice(
    replicas: tuple[Any, Any], stores: MemoryStores
) -> None:
    await stores.facts.tell([moved(0)])
    got: list[int] = []
    last = ""
    told = 1
    for turn in range(6):
        query = "" if last else "since=1h"
        headers = {"last_event_id": last} if last else {}
        async with streaming(replicas[turn % 2], query, **headers) as stream:
            for _ in range(3):
                await stores.facts.tell([moved(told), moved(told + 1)])
                told += 2
            await eventually(lambda stream=stream, least=2 + turn: len(stream.numbers) >= least)
            # Cut off at any place, also within a row.
            taken = stream.events[: 2 + turn]
            last, got = taken[-1][0], got + [data["data"]["number"] for _, data in taken]
    async with streaming(replicas[0], f"after={last}") as stream:
        await eventually(lambda: bool(stream.numbers) and stream.numbers[-1] == told - 1)
        got += stream.numbers
    assert got == list(range(told))


async def test_a_stream_begins_now_or_with_what_happened_since(rig: Any) -> None:
    await rig.stores.facts.tell([moved(1)])
    async with streaming(rig) as now, streaming(rig, "since=1h") as earlier:
        await eventually(lambda: earlier.numbers == [1])
        await eventually(lambda: bool(now.status))
        await rig.stores.facts.tell([moved(2)])
        await eventually(lambda: (now.numbers, earlier.numbers) == ([2], [1, 2]))


async def test_a_silent_stream_says_where_it_is_and_ends_with_its_replica_or_its_time(
    open_rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossa.gateway.extensions.events.stream._LOOK_S", 0.01)
    rig = await open_rig()
    streams = rig.context.extensions["events"].service.streams
    monkeypatch.setattr(streams, "_keep_alive_s", 0.0)
    await rig.stores.facts.tell([moved(1, agent="other")])
    async with streaming(rig, "agent=a-1&since=1h") as stream:
        await eventually(lambda: len(stream.events) > 1)
        comment, data = stream.events[-1]
        assert data is None
        await rig.stores.facts.tell([moved(2)])
        await eventually(lambda: stream.numbers == [2])
        assert numbers(await page(rig, f"order=asc&after={comment}")) == [2]
        streams.stop()
        await eventually(lambda: stream.ended)
    again = await open_rig()
    monkeypatch.setattr(again.context.extensions["events"].service.streams, "_lasts_s", 0.0)
    async with streaming(again) as stream:
        await eventually(lambda: stream.ended)


async def test_a_stream_waits_for_a_log_that_is_away(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.gateway.extensions.events.stream._AGAIN_S", 0.01)
    log = rig.stores.facts
    read, away = log.read, asyncio.Event()

    async def sometimes(*args: Any, **more: Any) -> Any:
        if away.is_set():
            raise StoreUnavailable("away")
        return await read(*args, **more)

    monkeypatch.setattr(log, "read", sometimes)
    async with streaming(rig) as stream:
        await eventually(lambda: bool(stream.status))
        away.set()
        await log.tell([moved(1)])
        away.clear()
        await log.tell([moved(2)])
        await eventually(lambda: stream.numbers == [1, 2])


# Groups and dead letters


@pytest.fixture
async def failing(open_rig: Any) -> tuple[Any, list[int], set[int]]:
    """A replica with a consumer `audit` that fails for some numbers; what it handled; the numbers."""
    handled: list[int] = []
    bad: set[int] = set()

    async def handle(event: Any) -> None:
        if event.data["number"] in bad:
            raise ValueError("poison")
        handled.append(event.data["number"])

    def extension(core: Any) -> Extension:
        return Extension("audit", consumers={"audit": Consumer(handle, types=("ossa.agent.moved.v1",))})

    return await open_rig(installed=[extension]), handled, bad


async def test_a_group_is_shown_and_put_back_to_where_it_handles_again(
    failing: tuple[Any, list[int], set[int]],
) -> None:
    rig, handled, _ = failing
    await rig.stores.facts.tell([moved(1)])
    await eventually(lambda: handled == [1])

    async def group() -> dict[str, Any]:
        found = (await rig.call("GET", f"{PATH}/groups")).json()["data"]
        return next(each for each in found if each["group"] == "audit")

    async def caught_up() -> bool:
        return (await group())["waiting"] == 0

    await eventually(caught_up)
    assert (await group())["members"]
    for to in ("nowhere", "f", "5 m"):
        refused = await rig.call("POST", f"{PATH}/groups/audit/seek", {"to": to})
        assert (refused.status_code, refused.json()["param"]) == (422, "to")
    unknown = await rig.call("POST", f"{PATH}/groups/adit/seek", {"to": "oldest"})
    assert unknown.status_code == 404
    assert "audit" in unknown.json()["detail"]
    other = await rig.key("acme")
    assert (await rig.call("POST", f"{PATH}/groups/audit/seek", {"to": "oldest"}, **other)).status_code == 403
    moved_to = await rig.call("POST", f"{PATH}/groups/audit/seek", {"to": "1h"})
    assert moved_to.json()["waiting"] >= 1
    start = moved_to.json()["position"]
    newest = await rig.call("POST", f"{PATH}/groups/audit/seek", {"to": "newest"})
    assert newest.json()["waiting"] <= 1  # the fact that tells of it
    assert (await rig.call("POST", f"{PATH}/groups/audit/seek", {"to": start})).json()["position"] == start


async def test_dead_letters_are_listed_put_back_and_gone(
    failing: tuple[Any, list[int], set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, handled, bad = failing
    bad.add(1)
    await rig.stores.facts.tell([moved(1), moved(2)])

    async def dead() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await rig.call("GET", f"{PATH}/dead")).json()["data"]
        return found

    (letter,) = await eventually(dead)
    assert (letter["group"], letter["error"], letter["event_type"]) == ("audit", "ValueError: poison", AgentMoved.TYPE)
    other = await rig.key("acme")
    assert (await rig.call("GET", f"{PATH}/dead", **other)).status_code == 403
    assert (await rig.call("POST", f"{PATH}/replay", {}, **other)).status_code == 403
    assert (await rig.call("POST", f"{PATH}/replay", {"limit": 0})).json()["param"] == "limit"
    bad.clear()
    assert (await rig.call("POST", f"{PATH}/replay", {})).json() == {"replayed": 1}
    await eventually(lambda: sorted(handled) == [1, 2])
    assert await dead() == []
    groups = (await rig.call("GET", f"{PATH}/groups")).json()["data"]
    assert all("replay" not in group["group"] for group in groups)


async def test_the_document_has_examples_of_events_and_bodies(rig: Any) -> None:
    document = (await rig.call("GET", "/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for name in ("EventPage", "GroupView", "SeekBody", "ReplayBody"):
        assert schemas[name]["example"]
    operation = document["paths"][PATH]["get"]
    assert {"text/event-stream", "application/json"} <= set(operation["responses"]["200"]["content"])
    assert "still have a `next`" in operation["description"]
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert {"type", "agent", "subject", "actor", "request_id", "since", "until", "tenant", "after", "order"} <= named
