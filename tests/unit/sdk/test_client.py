"""The blocking and the asyncio client, over the same cases."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import ossa
from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import Conflict, FleetBusy, InvalidRequest, NotFound, NotReady, TimedOut, Unauthenticated
from ossa.contracts.task import ErrorInfo, Outcome, TaskStatus
from ossa.sdk.blocking import Calls
from ossa.sdk.errors import UnexpectedAnswer, Unreachable
from ossa.testing.app import FakeGateway
from ossa.testing.gateway import FakeLink, fake_agent

SECRET = "ossa_sk_" + "s" * 43
Ask = Callable[..., Any]
MANIFEST = {
    "apiVersion": "ossa/v0.5.0",
    "kind": "Agent",
    "metadata": {"name": "reviewer", "version": "1.2.0"},
    "spec": {"role": "You review code."},
}


class Either:
    """Drives both clients alike: `await either(lambda c: c.chat("x"))`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def __call__(self, ask: Ask) -> Any:
        answer = ask(self.client)
        return await answer if inspect.isawaitable(answer) else answer

    async def all(self, ask: Ask) -> list[Any]:
        stream = await self(ask)
        if isinstance(stream, AsyncIterator) or hasattr(stream, "__aiter__"):
            return [item async for item in stream]
        return list(stream)


@pytest.fixture
def fleet() -> Iterator[FakeGateway]:
    fleet = FakeGateway(link=FakeLink("hello", steps=1))
    yield fleet
    fleet.stop()


@pytest.fixture(params=["blocking", "asyncio"])
async def either(request: pytest.FixtureRequest, fleet: FakeGateway) -> AsyncIterator[Either]:
    if request.param == "blocking":
        with ossa.connect("http://fleet", SECRET, transport=fleet) as client:
            yield Either(client)
    else:
        async with ossa.connect_async("http://fleet", SECRET, transport=fleet) as client:
            yield Either(client)


async def test_a_text_is_asked_and_answered(either: Either, fleet: FakeGateway) -> None:
    fleet.say("Paris")
    answer = await either(lambda c: c.chat("Capital?", model="pool/security", temperature=0.2))
    assert str(answer) == answer.text == "Paris"
    assert (answer.pool, answer.agent, answer.finish_reason) == ("security", "security-000", "stop")
    assert answer.usage.total_tokens > 0 and answer.cost_usd > 0
    assert answer.task_id.startswith("task_")
    assert answer.model and answer.request_id
    assert fleet.sent() == {
        "model": "pool/security",
        "temperature": 0.2,
        "messages": [{"role": "user", "content": "Capital?"}],
    }
    request = fleet.requests[-1]
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["user-agent"].startswith("ossa-python/")


async def test_messages_are_sent_as_they_are(either: Either, fleet: FakeGateway) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    await either(lambda c: c.chat(messages))
    assert fleet.sent()["messages"] == messages


async def test_a_streamed_answer_comes_in_pieces_and_as_a_whole(either: Either, fleet: FakeGateway) -> None:
    fleet.say("one two three")
    stream = await either(lambda c: c.chat("Count", stream=True))
    pieces = await either.all(lambda _: stream)
    assert len(pieces) == 3
    answer = await either(lambda _: stream.answer())
    assert answer.text == "".join(pieces) == "one two three"
    assert (answer.finish_reason, answer.agent.rpartition("-")[0]) == ("stop", answer.pool)
    assert answer.usage.total_tokens > 0
    assert fleet.sent()["stream_options"] == {"include_usage": True}


async def test_a_streamed_answer_that_breaks_off_is_an_error(either: Either, fleet: FakeGateway) -> None:
    fleet.cut_next_stream(after_events=1)
    with pytest.raises(Unreachable, match="broke"):
        await either.all(lambda c: c.chat("Count", stream=True))


async def test_a_broken_connection_is_sent_again_under_the_same_idempotency_key(
    either: Either, fleet: FakeGateway
) -> None:
    fleet.drop_next()
    assert (await either(lambda c: c.chat("Hi", idempotency_key="mine"))).text == "hello"
    fleet.drop_next()
    await either(lambda c: c.tasks.create("Hi"))
    *chats, first, second = (request.headers["idempotency-key"] for request in fleet.requests)
    assert chats == ["mine", "mine"]
    assert first == second


async def test_a_chat_without_a_key_is_cancelled_by_leaving_and_so_is_not_sent_twice(
    either: Either, fleet: FakeGateway
) -> None:
    for stream in (False, True):
        fleet.drop_next()
        with pytest.raises(Unreachable):
            await either(lambda c, stream=stream: c.chat("Hi", stream=stream))
        assert "idempotency-key" not in fleet.requests[-1].headers
    assert len(fleet.requests) == 2


async def test_a_streamed_chat_with_a_key_is_sent_again_before_its_first_piece(
    either: Either, fleet: FakeGateway
) -> None:
    fleet.drop_next()
    await either.all(lambda c: c.chat("Hi", stream=True, idempotency_key="mine"))
    assert fleet.requests[-1].headers["idempotency-key"] == "mine"


async def test_two_tasks_carry_two_idempotency_keys_and_a_given_one_is_kept(either: Either, fleet: FakeGateway) -> None:
    await either(lambda c: c.tasks.create("Hi"))
    await either(lambda c: c.tasks.create("Hi"))
    await either(lambda c: c.tasks.create("Hi", idempotency_key="mine"))
    keys = [request.headers["idempotency-key"] for request in fleet.requests]
    assert keys[0] != keys[1]
    assert keys[2] == "mine"


async def test_making_a_key_is_never_repeated_blindly(either: Either, fleet: FakeGateway) -> None:
    fleet.drop_next()
    with pytest.raises(Unreachable):
        await either(lambda c: c.keys.create("ci"))
    assert len(fleet.requests) == 1


async def test_a_full_fleet_is_asked_again_and_then_reported(either: Either, fleet: FakeGateway) -> None:
    fleet.fail_next(FleetBusy("full", retry_after_s=0.01))
    assert (await either(lambda c: c.chat("Hi"))).text == "hello"
    fleet.fail_next(*(FleetBusy("full", retry_after_s=0.01) for _ in range(3)))
    with pytest.raises(FleetBusy, match="full"):
        await either(lambda c: c.chat("Hi"))


async def test_errors_of_the_fleet_arrive_as_they_left(either: Either, fleet: FakeGateway) -> None:
    fleet.fail_next(Unauthenticated("The key is unknown."))
    with pytest.raises(Unauthenticated, match="unknown"):
        await either(lambda c: c.chat("Hi"))
    fleet.fail_next(InvalidRequest("messages must not be empty", param="messages"))
    with pytest.raises(InvalidRequest) as caught:
        await either(lambda c: c.tasks.create([]))
    assert caught.value.param == "messages"


async def test_an_answer_that_cannot_be_read_is_named(either: Either, fleet: FakeGateway) -> None:
    fleet.answer("/version", "<html>")
    with pytest.raises(UnexpectedAnswer, match="GET /version answered 200"):
        await either(lambda c: c.version())


async def test_a_task_is_made_waited_for_and_read(either: Either, fleet: FakeGateway) -> None:
    fleet.say("done")
    task = await either(lambda c: c.tasks.create("Work", metadata={"ticket": 7}, timeout_s=30, max_tokens=5))
    assert fleet.sent() == {
        "model": "auto",
        "messages": [{"role": "user", "content": "Work"}],
        "metadata": {"ticket": 7},
        "timeout_s": 30,
        "parameters": {"max_tokens": 5},
    }
    ended = await either(lambda c: c.tasks.wait(task.id))
    assert (ended.text, ended.metadata, ended.status) == ("done", {"ticket": 7}, "succeeded")
    assert ended.usage.total_tokens > 0
    assert ended.raise_for_failure() is ended
    assert [found.id for found in await either(lambda c: c.tasks.list())] == [task.id]
    assert (await either(lambda c: c.tasks.cancel(task.id))).ended


async def test_waiting_ends_at_its_deadline_and_says_the_task_goes_on(either: Either, fleet: FakeGateway) -> None:
    fleet.link.slow(0.5)
    task = await either(lambda c: c.tasks.create("Work"))
    with pytest.raises(TimedOut, match="goes on"):
        await either(lambda c: c.tasks.wait(task.id, timeout_s=0.03, poll_s=0.01))


async def test_a_failed_task_can_raise_what_it_failed_with(either: Either, fleet: FakeGateway) -> None:
    fleet.link.end_with(
        Outcome(status=TaskStatus.FAILED, error=ErrorInfo(code="limit_exceeded", message="too many steps"))
    )
    task = await either(lambda c: c.tasks.create("Work"))
    ended = await either(lambda c: c.tasks.wait(task.id))
    with pytest.raises(ossa.LimitExceeded, match="too many steps"):
        ended.raise_for_failure()


async def test_the_events_of_a_task_come_in_order_to_their_end(either: Either) -> None:
    task = await either(lambda c: c.tasks.create("Work"))
    events = await either.all(lambda c: c.tasks.events(task.id))
    assert [(event.id, event.data.get("kind")) for event in events] == [
        ("0", "route"), ("1", "model"), ("2", "tool_call"), ("3", "model"), ("3", None),
    ]  # fmt: skip
    assert (events[-1].type, events[-1].data["id"]) == ("end", task.id)
    later = await either.all(lambda c: c.tasks.events(task.id, after="2"))
    assert [(event.id, event.type) for event in later] == [("3", "step"), ("3", "end")]


async def test_broken_events_are_taken_up_where_they_broke(either: Either, fleet: FakeGateway) -> None:
    task = await either(lambda c: c.tasks.create("Work"))
    fleet.cut_next_stream(after_events=2)
    events = await either.all(lambda c: c.tasks.events(task.id))
    assert [event.id for event in events] == ["0", "1", "2", "3", "3"]
    assert fleet.requests[-1].headers["last-event-id"] == "1"


async def test_events_of_a_fleet_that_stays_away_end_in_an_error(either: Either, fleet: FakeGateway) -> None:
    task = await either(lambda c: c.tasks.create("Work"))
    fleet.fail_next(*(NotReady("starting", retry_after_s=0.01) for _ in range(9)))
    with pytest.raises(NotReady):
        await either.all(lambda c: c.tasks.events(task.id))


async def test_agents_and_pools_are_listed_and_shown_as_tables(either: Either, fleet: FakeGateway) -> None:
    agents = await either(lambda c: c.agents.list(pool="security"))
    assert [agent.id for agent in agents] == ["security-000"]
    assert "<td>security-000</td>" in agents._repr_html_()
    pools = await either(lambda c: c.pools.list())
    assert all(pool.settled for pool in pools)
    assert "<th>desired</th>" in pools._repr_html_()
    assert (await either(lambda c: c.agents.get("security-000"))).pool == "security"
    with pytest.raises(NotFound):
        await either(lambda c: c.agents.get("nobody"))


async def test_all_agents_come_however_many_pages_they_fill(either: Either, fleet: FakeGateway) -> None:
    fleet.fleet.set_agents([fake_agent(f"foundation-{number:04}") for number in range(2005)])
    agents = await either(lambda c: c.agents.list())
    assert [agent.id for agent in agents] == sorted(agent.id for agent in agents)
    assert len(agents) == 2005
    assert len(fleet.requests) == 3


async def test_tables_escape_what_a_manifest_may_hold(either: Either, fleet: FakeGateway) -> None:
    fleet.fleet.set_agents([fake_agent("<script>-000")])
    assert "<script>" not in (await either(lambda c: c.pools.list()))._repr_html_()


async def test_the_fleet_is_changed_through_operations(either: Either, fleet: FakeGateway) -> None:
    operation = await either(lambda c: c.pools.scale("security", 5))
    assert (await either(lambda c: c.operations.wait(operation.id))).status == "succeeded"
    assert fleet.fleet.submitted[-1] == ("spawn-pool", {"pool_type": "security", "agent_count": 5})
    assert (await either(lambda c: c.deploy_phase(200))).request == {
        "phase": "phase4-enterprise-analytics",
        "target_agents": 200,
    }
    assert (await either(lambda c: c.agents.drain("security-000"))).kind == "drain"
    for change in (lambda c: c.spawn_pool("intelligence", 2), lambda c: c.scale_to_phase4("200-agent-enterprise", 12)):
        assert (await either(change)).raise_for_failure().status == "succeeded"
    assert (await either(lambda c: c.pools.get("security"))).settled
    assert len(await either(lambda c: c.operations.list())) == 5
    with pytest.raises(NotFound):
        await either(lambda c: c.pools.scale("nope", 1))


@pytest.mark.parametrize("form", ["text", "file", "mapping", "spec"])
async def test_a_manifest_is_applied_in_any_form(either: Either, fleet: FakeGateway, form: str, tmp_path: Path) -> None:
    text = json.dumps(MANIFEST)
    (tmp_path / "agent.yaml").write_text(text)
    forms = {
        "text": text,
        "file": tmp_path / "agent.yaml",
        "mapping": MANIFEST,
        "spec": AgentSpec(name="a", dialect="ossa/v0.5.0", document=MANIFEST),
    }
    await either(lambda c: c.pools.apply("security", forms[form]))
    assert json.loads(fleet.sent()["manifest"]) == MANIFEST


async def test_a_manifest_that_cannot_be_read_is_refused_before_anything_is_sent(
    either: Either, fleet: FakeGateway, tmp_path: Path
) -> None:
    for bad in (tmp_path / "absent.yaml", AgentSpec(name="a", dialect="ossa/v1")):
        with pytest.raises(InvalidRequest):
            await either(lambda c, bad=bad: c.pools.apply("security", bad))
    assert not fleet.requests


async def test_a_tenant_s_own_agent_comes_and_goes(either: Either) -> None:
    agent = await either(lambda c: c.agents.create(MANIFEST, pool="security"))
    assert agent.own
    assert (await either(lambda c: c.agents.delete(agent.id))).state == "draining"
    with pytest.raises(NotFound):
        await either(lambda c: c.agents.delete(agent.id))


async def test_a_new_key_shows_its_secret_once_and_masks_it(either: Either) -> None:
    made = await either(lambda c: c.keys.create("ci", scopes=["chat"]))
    assert made.secret.get_secret_value().startswith("ossa_sk_")
    assert made.secret.get_secret_value() not in repr(made)
    assert (await either(lambda c: c.keys.revoke(made.key.id))).revoked_at is not None
    (listed,) = [key for key in await either(lambda c: c.keys.list()) if key.id == made.key.id]
    assert listed.scopes == ("chat",)
    assert listed.revoked_at is not None
    assert not hasattr(listed, "secret")


async def test_an_unwell_fleet_is_an_answer_not_an_error(either: Either, fleet: FakeGateway) -> None:
    assert (await either(lambda c: c.health())).ok
    fleet.stores.go_down()
    health = await either(lambda c: c.health())
    assert not health.ok
    assert "journal: does not answer" in health.faults


async def test_ids_cannot_leave_their_place_in_the_path(either: Either, fleet: FakeGateway) -> None:
    with pytest.raises(NotFound):
        await either(lambda c: c.tasks.get("../keys"))
    assert fleet.requests[-1].url.raw_path == b"/api/v1/tasks/..%2Fkeys"


def test_the_key_is_masked_in_a_client_s_repr() -> None:
    for client in (ossa.connect("http://x", SECRET), ossa.connect_async("http://x", SECRET)):
        assert SECRET not in repr(client)
        assert "http://x" in repr(client)


async def test_the_official_client_is_set_up_for_the_fleet(either: Either) -> None:
    official = either.client.openai()
    assert str(official.base_url) == "http://fleet/v1/"
    assert official.api_key == SECRET


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    def calls(thing: object, prefix: str = "") -> Iterator[tuple[str, str]]:
        for name in dir(thing):
            value = getattr(thing, name)
            if name.startswith("_"):
                continue
            if isinstance(value, Calls):
                yield from calls(value, f"{name}.")
            elif callable(value) and prefix + name != "openai":
                yield prefix + name, str(inspect.signature(value)).replace("AsyncChatStream", "ChatStream")

    blocking, asyncio_ = ossa.connect("http://x"), ossa.connect_async("http://x")
    assert dict(calls(blocking)) == dict(calls(asyncio_))
    assert len(dict(calls(blocking))) > 45
    assert not inspect.iscoroutinefunction(blocking.tasks.get)
    assert inspect.iscoroutinefunction(asyncio_.tasks.get)
    assert blocking.tasks.get.__doc__ == asyncio_.tasks.get.__doc__
    for client in (ossa.Client, ossa.AsyncClient):
        assert inspect.iscoroutinefunction(client.deploy_phase) is (client is ossa.AsyncClient)


async def test_an_answer_is_rated_and_a_second_rating_replaces_the_first(either: Either) -> None:
    answer = await either(lambda c: c.chat("Hi", model="pool/security"))
    assert (await either(lambda c: c.tasks.rate(answer.task_id, "up"))).rating == 1.0
    kept = await either(lambda c: c.tasks.rate(answer.task_id, 0.25, comment="too short", expected="security"))
    assert (kept.task_id, kept.rating, kept.comment, kept.expected) == (answer.task_id, 0.25, "too short", "security")


async def test_a_route_is_told_before_and_after(either: Either) -> None:
    route = await either(lambda c: c.route("Hi", model="pool/security", metadata={"n": 1}, max_tokens=5))
    assert (route.pool, route.agents[0].agent_id) == ("security", "security-000")
    answer = await either(lambda c: c.chat("Hi", model="pool/security"))
    (taken,) = await either(lambda c: c.tasks.route(answer.task_id))
    assert taken.agent_id == answer.agent
    with pytest.raises(NotFound):
        await either(lambda c: c.route("Hi", model="pool/nope"))


async def test_a_policy_is_set_shown_and_removed(either: Either) -> None:
    assert (await either(lambda c: c.routing.policy())).source == "usual"
    own = await either(lambda c: c.routing.set_policy({"models": "cheapest"}))
    assert (own.tenant, own.source, own.policy["models"]) == ("default", "own", "cheapest")
    assert (await either(lambda c: c.routing.set_policy({"models": "best"}, tenant="*"))).tenant == "*"
    assert (await either(lambda c: c.routing.policy(tenant="*"))).policy["models"] == "best"
    await either(lambda c: c.routing.remove_policy(tenant="*"))
    assert (await either(lambda c: c.routing.remove_policy())).source == "usual"


async def test_router_models_are_listed_and_rolled_back(either: Either) -> None:
    status = await either(lambda c: c.routing.status())
    assert {model.kind for model in status.models} == {"labels", "agents", "quality"}
    assert list(await either(lambda c: c.routing.models(kind="labels"))) == []
    assert (await either(lambda c: c.routing.roll_back("labels"))).live is None


async def test_budgets_and_costs_are_kept(either: Either) -> None:
    made = await either(lambda c: c.budgets.set("pool", "security", 20.0, soft_usd=15.0, period="day"))
    assert [budget.id for budget in await either(lambda c: c.budgets.list())] == [made.id]
    assert (await either(lambda c: c.budgets.remove("pool", "security", period="day"))).hard_usd == 20.0
    assert (await either(lambda c: c.cost.report("pool", days=2))).by == "pool"
    assert (await either(lambda c: c.cost.proposals())).approved == ()


async def test_the_scaler_s_state_is_shown_and_alerts_are_taken(either: Either) -> None:
    assert (await either(lambda c: c.alert("security", "nope", for_s=60))).ignored[0].alert == 1
    scaling = await either(lambda c: c.scaling())
    assert (scaling.mode, scaling.alerts, scaling.decided("security")) == ("off", ("security",), None)
    assert (await either(lambda c: c.alert("security", for_s=0))).taken[0].for_s == 0


async def test_a_memory_is_kept_found_granted_and_forgotten_with_a_proof(either: Either) -> None:
    made = await either(
        lambda c: c.memory.remember("cat", id="m1", subject="anna", kind="note", facts={"floor": 3}, lasts_s=60)
    )
    await either(lambda c: c.memory.remember("dog", id="m2"))
    assert await either(lambda c: c.memory.get("m1")) == made
    (nearest,) = await either(lambda c: c.memory.recall("cat", limit=1))
    assert (nearest.item, nearest.score) == (made, pytest.approx(1.0))
    assert [item.id for item in await either(lambda c: c.memory.recall())] == ["m2", "m1"]
    assert [item.id for item in await either(lambda c: c.memory.recall(facts={"floor": 3}))] == ["m1"]
    with pytest.raises(Conflict):
        await either(lambda c: c.memory.remember("car", id="m1", kind="note", if_version=made.version + 9))
    assert (await either(lambda c: c.memory.grant("research", "note"))).kinds == ("note",)
    assert [grant.to for grant in await either(lambda c: c.memory.grants())] == ["research"]
    await either(lambda c: c.memory.revoke("research"))
    assert (await either(lambda c: c.memory.forget("m2"))).items == 1
    proof = await either(lambda c: c.memory.forget_subject("anna"))
    assert proof.complete
    assert {place.tier: place.left for place in proof.places} == dict.fromkeys(("catalogue", "hot", "warm", "cold"), 0)
    assert (await either(lambda c: c.memory.forget_everything())).items == 0
    with pytest.raises(NotFound):
        await either(lambda c: c.memory.revoke("research"))


async def test_a_context_is_compressed_and_comes_back(either: Either) -> None:
    log = "\n".join(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200))
    short = await either(lambda c: c.compress(log, "which requests?", reduction=0.7))
    assert short.tokens_after < short.tokens_before
    assert short.reduction == pytest.approx(1 - short.tokens_after / short.tokens_before)
    assert await either(lambda c: c.decompress(short.handles[0])) == log
    with pytest.raises(InvalidRequest, match="budget_tokens"):
        await either(lambda c: c.compress(log, reduction=0.5, budget_tokens=10))


async def test_health_version_models_and_events_are_told(either: Either) -> None:
    assert (await either(lambda c: c.version())).api == "v1"
    assert {"auto", "pool/security"} <= set(await either(lambda c: c.models()))
    events = await either(lambda c: c.events())
    assert (events.telling, events.bus, events.outbox.rows, events.trouble) == (False, None, 0, "")


async def test_facts_are_listed_paged_and_streamed_across_a_broken_connection(
    either: Either, fleet: FakeGateway
) -> None:
    await either(lambda c: c.chat("x"))
    listed = await either(lambda c: c.events.list(order="asc", type="ossa.task."))
    kinds = [event.type for event in listed]
    assert (kinds[0], kinds[-1]) == ("ossa.task.accepted.v1", "ossa.task.finished.v1")
    assert listed[-1].outcome == "succeeded" and listed[-1].actor
    assert [event.id for event in await either(lambda c: c.events.list(type="ossa.task."))] == [
        event.id for event in listed[::-1]
    ]
    page = await either(lambda c: c.events.page(limit=2, order="asc", type="ossa.task."))
    rest = await either(lambda c: c.events.page(after=page.next, order="asc", type="ossa.task."))
    assert (*page.data, *rest.data) == listed
    fleet.cut_next_stream(after_events=2)
    streamed = await either.all(lambda c: c.events.stream(since="1h", limit=len(listed), type="ossa.task."))
    assert [event.id for event in streamed] == [event.id for event in listed]
    assert await either.all(lambda c: c.events.stream(after=streamed[1].cursor, limit=1, type="ossa.task.")) == [
        streamed[2]
    ]


async def test_a_stream_goes_on_when_the_fleet_comes_back_and_gives_up_after_its_patience(
    either: Either, fleet: FakeGateway
) -> None:
    await either(lambda c: c.chat("x"))
    whole = await either(lambda c: c.events.list(order="asc", type="ossa.task."))
    fleet.cut_next_stream(after_events=1)
    stream = either.client.events.stream(since="1h", limit=len(whole), type="ossa.task.")
    first = await anext(stream) if hasattr(stream, "__anext__") else next(stream)
    for _ in range(4):
        fleet.drop_next(httpx.ConnectError("refused"))
    rest = await either.all(lambda _: stream)
    assert [first.id, *(event.id for event in rest)] == [event.id for event in whole]
    fleet.cut_next_stream(after_events=1)
    impatient = either.client.events.stream(since="1h", limit=len(whole), type="ossa.task.", patience_s=0)
    with pytest.raises(Unreachable):
        await either.all(lambda _: impatient)


async def test_groups_are_listed_and_put_elsewhere(either: Either, fleet: FakeGateway) -> None:
    await either(lambda c: c.chat("x"))
    fleet.run(fleet.stores.facts.seek("audit", 0))
    groups = {group.group: group for group in await either(lambda c: c.events.groups())}
    assert groups["audit"].waiting > 0
    assert (await either(lambda c: c.events.seek("audit", "newest"))).waiting <= 1  # the fact that tells of it
    assert await either(lambda c: c.events.dead()) == ()
    assert await either(lambda c: c.events.replay()) == 0
    assert (await either(lambda c: c.events.status())) == (await either(lambda c: c.events()))


async def test_what_is_not_there_is_not_found(either: Either) -> None:
    for ask in (
        lambda c: c.tasks.get("task_" + "f" * 32),
        lambda c: c.agents.get("nobody"),
        lambda c: c.agents.history("nobody"),
        lambda c: c.events.seek("nobody", "oldest"),
        lambda c: c.agents.delete("nobody"),
        lambda c: c.pools.scale("nope", 1),
        lambda c: c.pools.get("nope"),
        lambda c: c.operations.get("op_" + "f" * 32),
        lambda c: c.keys.revoke("key_nope"),
        lambda c: c.tasks.rate("task_" + "f" * 32, "up"),
        lambda c: c.routing.promote("labels", 7),
        lambda c: c.memory.get("m1"),
        lambda c: c.memory.forget("m1"),
        lambda c: c.cost.approve("nope"),
    ):
        with pytest.raises(NotFound):
            await either(ask)


async def test_a_wrong_request_names_its_field(either: Either) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await either(lambda c: c.chat("Hi", temperature=9))
    assert caught.value.param == "temperature"
    with pytest.raises(NotFound):
        await either(lambda c: c.chat("Hi", model="gpt-4"))
    with pytest.raises(ossa.ManifestError):
        await either(lambda c: c.pools.apply("security", "apiVersion: nope\nkind: Agent\n"))
    await either(lambda c: c.tasks.create("one", idempotency_key="same"))
    with pytest.raises(Conflict):
        await either(lambda c: c.tasks.create("two", idempotency_key="same"))
