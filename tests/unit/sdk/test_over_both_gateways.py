"""The same cases over the fleet in memory that we ship for tests, and over the gateway itself: they must agree."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import httpx
import pytest

import ossa
from ossa.contracts.access import Scope
from ossa.contracts.configuration import GatewaySettings
from ossa.gateway.application import create_app
from ossa.sdk.testing import FakeGateway
from ossa.tenancy.keys import mint
from ossa.testing.gateway import FakeFleet, FakeLink
from ossa.testing.stores import MemoryStores
from ossa.vortex.service import CompressionService
from tests.unit.memory.worlds import World

ANSWER = "Hello from the fleet."
POOLS = {"intelligence": 2, "security": 2}
MANIFEST = """\
apiVersion: ossa/v0.5.0
kind: Agent
metadata: {name: reviewer, version: 1.2.0}
spec: {role: You review code.}
"""


@pytest.fixture(params=["fake", "gateway"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[ossa.AsyncClient]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            fleet = FakeGateway(POOLS)
            fleet.say(*(ANSWER for _ in range(10)))
            transport: httpx.AsyncBaseTransport = fleet
            secret = "ossa_sk_fake"
        else:
            transport, secret = await _gateway(stack)
        yield await stack.enter_async_context(
            ossa.connect_async("http://fleet", secret, transport=transport, max_retries=0, timeout_s=20)
        )


async def _gateway(stack: AsyncExitStack) -> tuple[httpx.AsyncBaseTransport, str]:
    stores = MemoryStores()
    settings = GatewaySettings(claim_interval_s=0.02, lease_renew_s=0.2, lease_ttl_s=5, busy_wait_s=0.5)
    app = create_app(
        settings=settings,
        stores=stores,
        fleet=FakeFleet.of(POOLS, store=stores.fleet),
        link=FakeLink(answer=ANSWER, steps=1),
        compressor=CompressionService(stores.originals),
        memory=World().process(),
        rng=random.Random(1),
        drain_s=0.2,
    )
    await stack.enter_async_context(app.router.lifespan_context(app))
    minted = mint(tenant="default", name="test", scopes=[Scope.ADMIN], now=datetime.now(UTC))
    await stores.keys.add(minted.key, secret_sha256=minted.secret_sha256)
    return httpx.ASGITransport(app=app, raise_app_exceptions=False), minted.secret


async def test_a_chat_says_who_answered_and_what_it_cost(client: ossa.AsyncClient) -> None:
    answer = await client.chat("Hi", model="pool/security", max_tokens=5)
    assert answer.text == ANSWER
    assert answer.pool == "security"
    assert answer.agent.startswith("security-")
    assert answer.task_id.startswith("task_")
    assert answer.usage.total_tokens > 0
    assert answer.model and answer.request_id and answer.finish_reason == "stop"


async def test_a_streamed_chat_is_the_same_in_pieces(client: ossa.AsyncClient) -> None:
    stream = await client.chat("Hi", model="pool/security", stream=True)
    pieces = [piece async for piece in stream]
    answer = await stream.answer()
    assert "".join(pieces) == answer.text == ANSWER
    assert len(pieces) > 1
    assert answer.usage.total_tokens > 0
    assert answer.task_id.startswith("task_")


async def test_a_task_is_handed_over_followed_and_listed(client: ossa.AsyncClient) -> None:
    task = await client.tasks.create("Work", model="pool/intelligence", metadata={"n": 1}, timeout_s=30, max_tokens=5)
    assert (task.asked, task.metadata) == ("pool/intelligence", {"n": 1})
    ended = await client.tasks.wait(task.id, timeout_s=20, poll_s=0.01)
    assert (ended.status, ended.text, ended.pool) == ("succeeded", ANSWER, "intelligence")
    assert ended.usage.total_tokens > 0
    events = [event async for event in client.tasks.events(task.id)]
    assert [event.type for event in events[:-1]] == ["step"] * (len(events) - 1)
    assert [event.id for event in events[:-1]] == [str(number) for number in range(len(events) - 1)]
    assert events[-2].data["kind"] == "model"
    assert (events[-1].type, events[-1].data["id"]) == ("end", task.id)
    rest = [event async for event in client.tasks.events(task.id, after="0")]
    assert len(rest) == len(events) - 1
    assert [found.id for found in await client.tasks.list(limit=5)] == [task.id]
    assert (await client.tasks.cancel(task.id)).status == "succeeded"


async def test_agents_and_pools_are_shown(client: ossa.AsyncClient) -> None:
    assert [agent.id for agent in await client.agents.list(pool="security")] == ["security-000", "security-001"]
    agent = await client.agents.get("security-000")
    assert (agent.pool, agent.state, agent.own) == ("security", "ready", False)
    assert {pool.name: pool.ready for pool in await client.pools.list()} == POOLS
    assert (await client.pools.get("security")).settled


async def test_a_tenant_s_own_agent_is_started_and_removed(client: ossa.AsyncClient) -> None:
    agent = await client.agents.create(MANIFEST, pool="security")
    assert agent.own
    assert (await client.agents.delete(agent.id)).state == "draining"


async def test_changes_of_the_fleet_are_operations(client: ossa.AsyncClient) -> None:
    operations = [
        await client.pools.scale("security", 3),
        await client.pools.apply("security", MANIFEST),
        await client.agents.drain("security-000"),
        await client.deploy_phase(20),
        await client.spawn_pool("intelligence", 2),
        await client.scale_to_phase4("200-agent-enterprise", 12),
    ]
    for operation in operations:
        assert (await client.operations.wait(operation.id, poll_s=0.01)).raise_for_failure().status == "succeeded"
    assert {operation.id for operation in await client.operations.list()} == {operation.id for operation in operations}


async def test_an_answer_is_rated_and_a_second_word_counts(client: ossa.AsyncClient) -> None:
    answer = await client.chat("Hi", model="pool/security")
    assert (await client.tasks.rate(answer.task_id, "up")).rating == 1.0
    kept = await client.tasks.rate(answer.task_id, 0.25, comment="too short", expected="community")
    assert (kept.task_id, kept.rating, kept.comment, kept.expected) == (answer.task_id, 0.25, "too short", "community")


async def test_a_policy_is_set_shown_and_removed(client: ossa.AsyncClient) -> None:
    assert (await client.routing.policy()).source == "usual"
    own = await client.routing.set_policy({"models": "cheapest"})
    assert (own.tenant, own.source, own.policy["models"]) == ("default", "own", "cheapest")
    assert (await client.routing.set_policy({"models": "best"}, tenant="*")).tenant == "*"
    assert (await client.routing.policy(tenant="*")).policy["models"] == "best"
    await client.routing.remove_policy(tenant="*")
    assert (await client.routing.remove_policy()).source == "usual"


async def test_router_models_are_listed_and_rolled_back(client: ossa.AsyncClient) -> None:
    assert {one.kind for one in (await client.routing.status()).models} == {"labels", "agents", "quality"}
    assert list(await client.routing.models(kind="labels")) == []
    assert (await client.routing.roll_back("labels")).live is None


async def test_keys_are_made_listed_and_revoked(client: ossa.AsyncClient) -> None:
    made = await client.keys.create("ci", scopes=["chat"])
    assert made.key.scopes == ("chat",)
    assert made.secret.get_secret_value().startswith("ossa_sk_")
    assert made.key.id in {key.id for key in await client.keys.list()}
    assert (await client.keys.revoke(made.key.id)).revoked_at is not None
    assert (await client.keys.create("defaults")).key.scopes == ("chat", "tasks", "agents:read")


async def test_health_version_and_models_are_told(client: ossa.AsyncClient) -> None:
    health = await client.health()
    assert health.ok and not health.faults
    assert (await client.version()).api == "v1"
    assert {"auto", "pool/security"} <= set(await client.models())


async def test_what_is_not_there_is_not_found(client: ossa.AsyncClient) -> None:
    for call in (
        client.tasks.get("task_" + "f" * 32),
        client.agents.get("nobody"),
        client.pools.scale("nope", 1),
        client.pools.get("nope"),
        client.operations.get("op_" + "f" * 32),
        client.keys.revoke("key_nope"),
        client.agents.delete("nobody"),
        client.tasks.rate("task_" + "f" * 32, "up"),
        client.routing.promote("labels", 7),
    ):
        with pytest.raises(ossa.NotFound):
            await call


async def test_a_memory_is_kept_found_granted_and_forgotten_with_a_proof(client: ossa.AsyncClient) -> None:
    made = await client.memory.remember("cat", id="m1", subject="anna", kind="note", facts={"floor": 3})
    await client.memory.remember("dog", id="m2")
    assert await client.memory.get("m1") == made
    found = await client.memory.recall("cat", limit=1)
    assert [(one.item, one.score) for one in found] == [(made, pytest.approx(1.0))]
    assert [one.id for one in await client.memory.recall()] == ["m2", "m1"]
    assert [one.id for one in await client.memory.recall(facts={"floor": 3})] == ["m1"]
    with pytest.raises(ossa.Conflict):
        await client.memory.remember("car", id="m1", subject="anna", kind="note", if_version=made.version + 9)
    assert (await client.memory.grant("research", "note")).kinds == ("note",)
    assert [one.to for one in await client.memory.grants()] == ["research"]
    await client.memory.revoke("research")
    assert (await client.memory.forget("m2")).items == 1
    proof = await client.memory.forget_subject("anna")
    assert proof.complete and {place.tier: place.left for place in proof.places} == dict.fromkeys(
        ("catalogue", "hot", "warm", "cold"), 0
    )
    assert (await client.memory.forget_everything()).items == 0
    for call in (client.memory.get("m1"), client.memory.forget("m1"), client.memory.revoke("research")):
        with pytest.raises(ossa.NotFound):
            await call


async def test_a_wrong_request_names_its_field() -> None:
    async with AsyncExitStack() as stack:
        transport, secret = await _gateway(stack)
        client = await stack.enter_async_context(ossa.connect_async("http://fleet", secret, transport=transport))
        with pytest.raises(ossa.InvalidRequest) as caught:
            await client.chat("Hi", temperature=9)
        assert caught.value.param == "temperature"
        with pytest.raises(ossa.NotFound):
            await client.chat("Hi", model="gpt-4")
        with pytest.raises(ossa.ManifestError):
            await client.pools.apply("security", "apiVersion: nope\nkind: Agent\n")
        await client.tasks.create("one", idempotency_key="same")
        with pytest.raises(ossa.Conflict):
            await client.tasks.create("two", idempotency_key="same")
        stranger = await stack.enter_async_context(ossa.connect_async("http://fleet", "wrong", transport=transport))
        with pytest.raises(ossa.Unauthenticated):
            await stranger.chat("Hi")


async def test_a_context_is_compressed_and_comes_back() -> None:
    async with AsyncExitStack() as stack:
        transport, secret = await _gateway(stack)
        client = await stack.enter_async_context(
            ossa.connect_async("http://fleet", secret, transport=transport, max_retries=0, timeout_s=20)
        )
        log = "\n".join(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200))
        short = await client.compress(log, "which requests?", reduction=0.7)
        assert short.tokens_after < short.tokens_before
        assert await client.decompress(short.handles[0]) == log
        with pytest.raises(ossa.InvalidRequest, match="budget_tokens"):
            await client.compress(log, reduction=0.5, budget_tokens=10)


async def test_how_events_are_doing_can_be_asked(client: ossa.AsyncClient) -> None:
    found = await client.events()
    assert (found.telling, found.bus, found.outbox.rows, found.trouble) == (False, None, 0, "")
