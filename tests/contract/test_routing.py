"""What `ossa.contracts.routing.RoutingStore` promises, of every store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.errors import Conflict, NotFound
from ossa.contracts.routing import MAX_EXAMPLE_CHARACTERS, Feedback, Route, RoutingPolicy
from ossa.contracts.stores import Stores
from ossa.contracts.task import Earlier, NewTask, Outcome, Step, Target, TaskRequest, TaskStatus, Usage
from ossa.stores.postgres import PostgresStores

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ROUTE = Route(agent_id="security-001", manifest="reviewer", pool="security", tier="premium", explored=True)


def said(task: NewTask, rating: float = 1.0, **more: Any) -> Feedback:
    return Feedback(task_id=task.id, tenant=task.tenant, rating=rating, at=NOW, **more)


async def end(stores: Stores, task: NewTask, outcome: Outcome, *steps: Step) -> None:
    await stores.journal.accept(task, owner="gateway")
    await stores.journal.append(task.id, fence=1, steps=steps)
    await stores.journal.finish(task.id, fence=1, outcome=outcome)


# policies


async def test_a_policy_is_kept_replaced_and_removed(stores: Stores) -> None:
    assert await stores.routing.policies() == {}
    first = RoutingPolicy(models="cheapest", quality_floor=0.9, tiers={"reviewer": "premium"})
    await stores.routing.save_policy("acme", first)
    await stores.routing.save_policy("*", RoutingPolicy(models="best"))
    assert await stores.routing.policies() == {"acme": first, "*": RoutingPolicy(models="best")}
    await stores.routing.save_policy("acme", RoutingPolicy())
    await stores.routing.save_policy("*", None)
    await stores.routing.save_policy("nobody", None)
    assert await stores.routing.policies() == {"acme": RoutingPolicy()}


async def test_a_row_that_this_version_cannot_read_hides_no_other_and_is_mended_by_saving_it(
    stores: Stores, dsn: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if dsn is None:
        pytest.skip("in memory there are no rows of another version")
    good = RoutingPolicy(models="best")
    await stores.routing.save_policy("acme", good)
    for tenant in ("newer", "older"):
        await stores.routing.save_policy(tenant, good)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for tenant, policy in (("newer", '{"models": "best", "mood": "secret"}'), ("older", '"not even an object"')):
            await conn.execute("UPDATE ossa.routing_policies SET policy = %s WHERE tenant = %s", (policy, tenant))
    for _ in range(3):
        assert await stores.routing.policies() == {"acme": good}
    told = [record for record in caplog.records if record.getMessage() == "store_row_unreadable"]
    assert sorted(record.__dict__["tenant"] for record in told) == ["newer", "older"]
    assert "secret" not in "".join(str(record.__dict__) for record in told)
    await stores.routing.save_policy("newer", RoutingPolicy(models="cheapest"))
    await stores.routing.save_policy("older", None)
    assert await stores.routing.policies() == {"acme": good, "newer": RoutingPolicy(models="cheapest")}


async def test_a_policy_saved_by_another_replica_is_seen(stores: Stores, dsn: str | None) -> None:
    if dsn is None:
        pytest.skip("a store in memory has one replica")
    other = PostgresStores(Database(), dsn)
    await other.open()
    try:
        for models in ("best", "cheapest", "best", "manifest"):
            await other.routing.save_policy("acme", RoutingPolicy(models=models))
            assert await stores.routing.policies() == {"acme": RoutingPolicy(models=models)}
        await other.routing.save_policy("acme", None)
        assert await stores.routing.policies() == {}
    finally:
        await other.close()


async def test_a_model_of_a_kind_that_this_version_does_not_know_hides_no_other(
    stores: Stores, dsn: str | None
) -> None:
    if dsn is None:
        pytest.skip("in memory there are no rows of another version")
    for digest in ("a1", "a2"):
        await stores.routing.add_model("labels", b"one", card={}, digest=digest)
    await stores.routing.promote("labels", 1)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute("UPDATE ossa.router_models SET kind = 'weather', state = 'live' WHERE version = 2")
    assert [record.version for record in await stores.routing.live()] == [1]
    assert [record.version for record in await stores.routing.models()] == [1]


# feedback


async def test_the_last_word_on_an_answer_counts(stores: Stores, made: Any) -> None:
    task = made.task()
    await end(stores, task, made.outcome())
    await stores.routing.rate(said(task, 0.0, comment="nul \x00 inside", expected="security"))
    last = said(task, 0.75, comment="better on a second look")
    await stores.routing.rate(last)
    assert await stores.routing.feedback(task.id, tenant="acme") == last


async def test_feedback_needs_a_task_of_the_tenant_that_has_ended(stores: Stores, made: Any) -> None:
    running, ended = made.task(), made.task()
    await stores.journal.accept(running, owner="gateway")
    await end(stores, ended, made.outcome())
    with pytest.raises(Conflict):
        await stores.routing.rate(said(running))
    with pytest.raises(NotFound):
        await stores.routing.rate(said(ended).model_copy(update={"tenant": "other"}))
    with pytest.raises(NotFound):
        await stores.routing.rate(said(made.task()))
    assert await stores.routing.feedback(ended.id, tenant="acme") is None
    await stores.routing.rate(said(ended))
    assert await stores.routing.feedback(ended.id, tenant="other") is None


# examples


async def test_an_example_joins_request_decision_outcome_and_feedback(stores: Stores, made: Any) -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": [{"type": "text", "text": "Review \x00"}, {"type": "text", "text": "this"}]},
        {"role": "assistant", "content": "which?"},
    ]
    task = made.task().model_copy(
        update={"request": TaskRequest(messages=messages, target=Target(kind="pool", name="security"))}
    )
    result = {"call_id": "1", "name": "clock", "content": '"is_error":true', "is_error": False}
    outcome = Outcome(
        status=TaskStatus.SUCCEEDED,
        usage=Usage(prompt_tokens=30, completion_tokens=4, cost_usd=0.5, model_calls=1),
        pool="security",
        tier="standard",
    )
    await end(
        stores,
        task,
        outcome,
        made.step(0, "route", **ROUTE.model_copy(update={"manifest": "earlier"}).model_dump(mode="json")),
        made.step(1, "route", **ROUTE.model_dump(mode="json")),
        made.step(2, "tool_result", **result),
        made.step(3, "tool_result", **{**result, "is_error": True}),
    )
    await stores.routing.rate(said(task, 0.25, expected="community"))
    (example,) = await stores.routing.examples(since=LONG_AGO, limit=10)
    assert (example.task_id, example.tenant, example.text) == (task.id, "acme", "Review \x00 this")
    assert (example.target, example.manifest, example.pool) == ("pool/security", "reviewer", "security")
    assert (example.tier, example.explored, example.succeeded) == ("standard", True, True)
    assert (example.tool_errors, example.prompt_tokens, example.completion_tokens) == (1, 30, 4)
    assert (example.cost_usd, example.rating, example.expected) == (0.5, 0.25, "community")
    assert example.seconds >= 0


async def test_a_task_from_before_decisions_were_journaled_is_an_example_too(stores: Stores, made: Any) -> None:
    await end(stores, made.task(text="hi"), made.outcome(TaskStatus.FAILED))
    (example,) = await stores.routing.examples(since=LONG_AGO, limit=10)
    assert (example.manifest, example.tier, example.explored) == ("", None, False)
    assert (example.succeeded, example.rating, example.expected) == (False, None, "")


async def test_what_was_rated_lately_is_found_however_old_the_task_is(stores: Stores, made: Any) -> None:
    tasks = [made.task() for _ in range(3)]
    for task in tasks:
        await end(stores, task, made.outcome())
    await stores.routing.rate(said(tasks[1], 0.5))
    await stores.routing.rate(said(tasks[0], 0.1).model_copy(update={"at": NOW + timedelta(hours=1)}))
    found = await stores.routing.rated(since=NOW, limit=10)
    assert [(example.task_id, example.rating) for example in found] == [(tasks[0].id, 0.1), (tasks[1].id, 0.5)]
    assert [example.task_id for example in await stores.routing.rated(since=NOW, limit=1)] == [tasks[0].id]
    assert await stores.routing.rated(since=NOW + timedelta(hours=2), limit=10) == []


async def test_what_says_nothing_of_a_decision_is_no_example(stores: Stores, made: Any) -> None:
    again = made.outcome().model_copy(update={"earlier": Earlier(kind="exact", similarity=1.0, age_s=1.0)})
    await end(stores, made.task(), again)
    await end(stores, made.task(), made.outcome(TaskStatus.CANCELLED))
    await stores.journal.accept(made.task(), owner="gateway")
    assert await stores.routing.examples(since=LONG_AGO, limit=10) == []


async def test_examples_are_the_newest_within_time_limit_and_tenant(stores: Stores, made: Any) -> None:
    tasks = [made.task(text=str(n) * 20_000) for n in range(3)]
    for task in tasks:
        await end(stores, task, made.outcome())
    await end(stores, made.task("other"), made.outcome())
    found = await stores.routing.examples(since=LONG_AGO, limit=2, tenant="acme")
    assert [example.task_id for example in found] == [tasks[2].id, tasks[1].id]
    assert [len(example.text) for example in found] == [MAX_EXAMPLE_CHARACTERS] * 2
    assert len(await stores.routing.examples(since=LONG_AGO, limit=10)) == 4
    assert await stores.routing.examples(since=datetime.now(UTC) + timedelta(hours=1), limit=10) == []


# models


async def test_a_model_is_added_as_a_candidate_and_its_file_comes_back(stores: Stores) -> None:
    first = await stores.routing.add_model("labels", b"\x00one", card={"metrics": {"accuracy": 0.9}}, digest="a1")
    second = await stores.routing.add_model("labels", b"two", card={}, digest="a2")
    other = await stores.routing.add_model("quality", b"three", card={}, digest="a1")
    assert [(m.version, m.state, m.promoted_at) for m in (first, second, other)] == [
        (1, "candidate", None),
        (2, "candidate", None),
        (1, "candidate", None),
    ]
    assert first.card == {"metrics": {"accuracy": 0.9}}
    assert await stores.routing.model_file("labels", 1) == b"\x00one"
    assert await stores.routing.models(kind="labels") == [second, first]
    assert {(m.kind, m.version) for m in await stores.routing.models()} == {
        ("labels", 1),
        ("labels", 2),
        ("quality", 1),
    }
    assert list(await stores.routing.live()) == []


async def test_a_forecast_model_has_versions_and_a_live_one_of_its_own(stores: Stores) -> None:
    await stores.routing.add_model("labels", b"one", card={}, digest="a1")
    added = await stores.routing.add_model("forecast", b"two", card={"step_s": 60.0}, digest="forecast-1")
    for kind in ("labels", "forecast"):
        await stores.routing.promote(kind, 1)
    assert {(one.kind, one.version) for one in await stores.routing.live()} == {("labels", 1), ("forecast", 1)}
    assert [one.digest for one in await stores.routing.models(kind="forecast")] == [added.digest]
    assert await stores.routing.roll_back("forecast") is None
    assert [one.kind for one in await stores.routing.live()] == ["labels"]


async def test_the_same_model_again_is_the_one_there_is(stores: Stores) -> None:
    first = await stores.routing.add_model("labels", b"one", card={}, digest="a1")
    assert await stores.routing.add_model("labels", b"one", card={}, digest="a1") == first
    added = [stores.routing.add_model("labels", b"n", card={}, digest=f"b{n}") for n in range(8)]
    assert sorted(model.version for model in await asyncio.gather(*added)) == list(range(2, 10))


async def test_one_model_of_a_kind_is_live(stores: Stores) -> None:
    for n in (1, 2):
        await stores.routing.add_model("labels", b"file", card={}, digest=f"a{n}")
        await stores.routing.add_model("quality", b"file", card={}, digest=f"a{n}")
    first = await stores.routing.promote("labels", 1)
    assert first.state == "live" and first.promoted_at is not None
    assert await stores.routing.promote("labels", 1) == first
    await stores.routing.promote("quality", 2)
    await stores.routing.promote("labels", 2)
    assert {(m.kind, m.version) for m in await stores.routing.live()} == {("labels", 2), ("quality", 2)}
    assert [m.state for m in await stores.routing.models(kind="labels")] == ["live", "retired"]


async def test_rolling_back_goes_one_step_at_a_time_to_the_packaged_model(stores: Stores) -> None:
    for n in (1, 2, 3):
        await stores.routing.add_model("labels", b"file", card={}, digest=f"a{n}")
        await stores.routing.promote("labels", n)
    await stores.routing.promote("labels", 1)
    steps = [await stores.routing.roll_back("labels") for _ in range(4)]
    assert [step and step.version for step in steps] == [3, 2, None, None]
    assert {m.state for m in await stores.routing.models(kind="labels")} == {"candidate"}
    assert (await stores.routing.promote("labels", 3)).state == "live"


async def test_at_most_one_is_live_whoever_promotes_at_once(stores: Stores) -> None:
    for n in range(1, 7):
        await stores.routing.add_model("labels", b"file", card={}, digest=f"a{n}")
    await asyncio.gather(*(stores.routing.promote("labels", n) for n in range(1, 7)))
    assert len(await stores.routing.live()) == 1


async def test_an_unknown_model_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.routing.model_file("labels", 1)
    with pytest.raises(NotFound):
        await stores.routing.promote("labels", 1)
    assert await stores.routing.roll_back("labels") is None
