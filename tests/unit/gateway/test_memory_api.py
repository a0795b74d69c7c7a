"""`/api/v1/memory` over fakes: what callers of several tenants see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ossa.app.extensions import Backends
from ossa.contracts.access import Scope
from ossa.contracts.memory import Memory, NewMemory
from ossa.gateway.extensions.vortex import RememberedText
from ossa.tenancy.keys import mint
from ossa.testing.app import gateway_app
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from tests.unit.memory.worlds import World

PATH = "/api/v1/memory"


class Rig:
    def __init__(self, http: httpx.AsyncClient, stores: MemoryStores, world: World) -> None:
        self.http, self.stores, self.world = http, stores, world

    async def key(self, tenant: str, scopes: Iterable[Scope] = (Scope.ADMIN,)) -> dict[str, str]:
        minted = mint(tenant=tenant, name="test", scopes=scopes, now=datetime.now(UTC))
        await self.stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
        return {"authorization": f"Bearer {minted.secret}"}


async def made(memory: Memory | None, world: World) -> AsyncIterator[Rig]:
    stores = MemoryStores()
    app = gateway_app(
        stores=stores,
        fleet=FakeFleet.of({"security": 1}, store=stores.fleet),
        link=FakeLink(answer="hi", steps=1),
        backends=Backends(memory=memory),
        drain_s=0.1,
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Rig(http, stores, world)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    world = World()
    async for one in made(world.process(), world):
        yield one


async def test_one_remembers_recalls_finds_and_forgets(rig: Rig) -> None:
    chat = await rig.key("acme", [Scope.CHAT])
    new: dict[str, Any] = {"content": "my cat", "subject": "anna", "facts": {"floor": 3}, "id": "m1"}
    said = (await rig.http.post(PATH, headers=chat, json=new)).json()
    assert said["version"] > 0 and said["tier"] == "warm"
    assert (await rig.http.get(f"{PATH}/m1", headers=chat)).json() == said
    found = await rig.http.post(f"{PATH}/recall", headers=chat, json={"text": "cat", "facts": {"floor": 3}})
    assert [(one["item"], round(one["score"], 3)) for one in found.json()["data"]] == [(said, 1.0)]
    stale = await rig.http.post(PATH, headers=chat, json={**new, "if_version": said["version"] + 1})
    assert stale.status_code == 409
    proof = (await rig.http.delete(f"{PATH}/m1", headers=chat)).json()
    assert proof["complete"] and {place["left"] for place in proof["places"]} == {0}
    assert (await rig.http.get(f"{PATH}/m1", headers=chat)).status_code == 404
    assert (await rig.http.delete(f"{PATH}/m1", headers=chat)).status_code == 404


async def test_a_person_is_forgotten_by_an_admin_alone_and_of_ones_own_tenant(rig: Rig) -> None:
    chat, admin, other = await rig.key("acme", [Scope.CHAT]), await rig.key("acme"), await rig.key("other")
    for key in (admin, other):
        for number in range(2):
            await rig.http.post(PATH, headers=key, json={"content": f"cat {number}", "subject": "anna"})
    asked = {"subject": "anna"}
    assert (await rig.http.post(f"{PATH}/forget", headers=chat, json=asked)).status_code == 403
    for wrong in ({}, {"subject": "anna", "everything": True}, {"subject": ""}):
        assert (await rig.http.post(f"{PATH}/forget", headers=admin, json=wrong)).status_code == 422
    assert (await rig.http.post(f"{PATH}/forget", headers=admin, json=asked)).json()["items"] == 2
    assert (await rig.http.post(f"{PATH}/recall", headers=admin, json={})).json()["data"] == []
    assert len((await rig.http.post(f"{PATH}/recall", headers=other, json={})).json()["data"]) == 2


async def test_another_tenant_reads_by_grant_and_writes_never(rig: Rig) -> None:
    acme, other = await rig.key("acme"), await rig.key("other")
    await rig.http.post(PATH, headers=acme, json={"content": "cat", "id": "m", "kind": "note"})
    url = f"{PATH}/m?of=acme"
    assert (await rig.http.get(url, headers=other)).status_code == 404
    granted = await rig.http.put(f"{PATH}/grants/other", headers=acme, json={"kinds": ["note"]})
    assert granted.json()["to"] == "other"
    assert (await rig.http.get(url, headers=other)).json()["content"] == "cat"
    assert (await rig.http.delete(f"{PATH}/m", headers=other)).status_code == 404
    assert [one["to"] for one in (await rig.http.get(f"{PATH}/grants", headers=acme)).json()["data"]] == ["other"]
    assert (await rig.http.delete(f"{PATH}/grants/other", headers=acme)).status_code == 204
    assert (await rig.http.get(url, headers=other)).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"content": ""},
        {"content": "a", "kind": "A"},
        {"content": "a", "id": "a/b"},
        {"content": "a", "id": "grants"},
        {"content": "x" * 300_000},
        {"content": "a", "facts": {"a": [1]}},
        {"content": "a", "more": 1},
    ],
)
async def test_what_cannot_be_remembered_is_said(rig: Rig, wrong: dict[str, Any]) -> None:
    assert (await rig.http.post(PATH, headers=await rig.key("acme"), json=wrong)).status_code == 422


async def test_without_the_index_the_answer_says_what_still_works(rig: Rig) -> None:
    key = await rig.key("acme")
    await rig.http.post(PATH, headers=key, json={"content": "cat", "id": "m"})
    rig.world.vectors.go_down()
    away = await rig.http.post(f"{PATH}/recall", headers=key, json={"text": "cat"})
    assert away.status_code == 503 and "by id and time" in away.json()["detail"]
    assert (await rig.http.get(f"{PATH}/m", headers=key)).status_code == 200
    assert len((await rig.http.post(f"{PATH}/recall", headers=key, json={})).json()["data"]) == 1


async def test_a_gateway_without_memory_is_not_ready_for_it() -> None:
    async for rig in made(None, World()):
        assert (await rig.http.get(f"{PATH}/m", headers=await rig.key("acme"))).status_code == 503


async def test_placeholders_read_what_is_remembered() -> None:
    memory = World().process()
    await memory.remember(NewMemory(id="team:goal", content="win the cat"), tenant="acme")
    reader = RememberedText(memory)
    assert await reader.recall("goal", scope="team", tenant="acme") == "win the cat"
    assert await reader.recall("goal", scope="team", tenant="other") is None
