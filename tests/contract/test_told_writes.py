"""What each write of every store tells, and that a write which changes nothing tells nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.access import ApiKey, Scope
from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.budgets import Approval, Budget, Reservation, subjects_of
from ossa.contracts.configuration import Database
from ossa.contracts.errors import BudgetExceeded, Conflict, NotFound
from ossa.contracts.events import SYSTEM_TENANT, Event
from ossa.contracts.fleet import DesiredAgent, DesiredPool, Operation
from ossa.contracts.memory import ForgetProof, Grant
from ossa.contracts.memory import Scope as Forgotten
from ossa.contracts.memory_tiers import Draft, MemoryCatalogue
from ossa.contracts.origin import Origin, acting
from ossa.contracts.routing import Feedback, RoutingPolicy
from ossa.contracts.scaling import PoolDecision, ScaleDecision
from ossa.contracts.stores import Stores
from ossa.contracts.task import ErrorInfo
from ossa.events.schemas import check_event
from ossa.stores.postgres import PostgresStores
from ossa.testing.stores import MemoryStores
from ossa.testing.stores.tiers import InMemoryCatalogue

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WHO = Origin(actor="key/k9", tenant="acme", request_id="r-9", traceparent="t-9")

Told = tuple[str, str, str, dict[str, Any]]
"""Type without `ossa.` and version, key, tenant, data."""


async def facts(stores: Stores) -> list[Event]:
    """Every fact that is not a task's, each as its schema says."""
    page = await stores.facts.read(0, limit=10_000, tasks=False)
    events = [item.content for item in page.items if isinstance(item.content, Event)]
    for event in events:
        check_event(event)
    return events


async def told(stores: Stores) -> list[Told]:
    return [
        (event.type.removeprefix("ossa.").removesuffix(".v1"), event.subject, event.tenant, event.data)
        for event in await facts(stores)
    ]


def memory_of(stores: Stores) -> MemoryCatalogue:
    if isinstance(stores, PostgresStores):
        return stores.memory
    assert isinstance(stores, MemoryStores)
    return InMemoryCatalogue(stores._gate, stores.facts)


SPEC = AgentSpec(name="reviewer", version="1.2.0", dialect="ossa/v0.5.0", digest="d1", role="secret \0 role")


async def test_pools_tell_sizes_and_manifests_when_they_change(stores: Stores) -> None:
    pool = await stores.fleet.save_pool(DesiredPool(name="security", size=2, manifests=(SPEC,)))
    pool = await stores.fleet.save_pool(pool)
    await stores.fleet.save_pool(pool.model_copy(update={"size": 3}))
    await stores.fleet.save_standby(0)
    await stores.fleet.save_standby(4)
    await stores.fleet.save_standby(4)
    await stores.fleet.save_phase("phase4")
    await stores.fleet.save_phase("phase4")
    manifests = ["reviewer@1.2.0"]
    assert await told(stores) == [
        ("pool.changed", "pool/security", SYSTEM_TENANT, {"pool": "security", "size": 2, "manifests": manifests}),
        ("pool.changed", "pool/security", SYSTEM_TENANT, {"pool": "security", "size": 3, "manifests": manifests}),
        ("standby.changed", "pool/standby", SYSTEM_TENANT, {"count": 4}),
        ("phase.changed", "fleet/phase", SYSTEM_TENANT, {"phase": "phase4"}),
    ]


async def test_a_tenant_s_own_agents_tell_when_they_are_declared_and_withdrawn(stores: Stores) -> None:
    own = DesiredAgent(agent_id="mine-1", pool="security", tenant="acme", spec=SPEC)
    await stores.fleet.save_agent(own)
    await stores.fleet.save_agent(own)
    await stores.fleet.remove_agent("mine-1")
    await stores.fleet.remove_agent("mine-1")
    declared = {"agent": "mine-1", "pool": "security", "tenant": "acme", "manifest": "reviewer", "version": "1.2.0"}
    assert await told(stores) == [
        ("agent.declared", "agent/mine-1", "acme", declared),
        ("agent.withdrawn", "agent/mine-1", "acme", {"agent": "mine-1"}),
    ]


async def test_an_operation_tells_each_status_once_and_no_progress(stores: Stores) -> None:
    kept = Operation(
        id="op_1",
        tenant="acme",
        kind="spawn-pool",
        status="pending",
        request={"secret": "nul \0"},
        created_at=AT,
        updated_at=AT,
    )
    for changes in (
        {},
        {"status": "running", "progress": {"security": {"ready": 0, "wanted": 2}}},
        {"status": "running", "progress": {"security": {"ready": 1, "wanted": 2}}},
        {"status": "failed", "error": ErrorInfo(code="timed_out", message="the fleet makes no progress")},
    ):
        kept = kept.model_copy(update=changes)
        await stores.fleet.save_operation(kept)
        await stores.fleet.save_operation(kept)
    about = {"operation": "op_1", "kind": "spawn-pool"}
    failure = {"outcome": "failed", "reason": "the fleet makes no progress", "code": "timed_out"}
    assert await told(stores) == [
        ("operation.accepted", "operation/op_1", "acme", about),
        ("operation.begun", "operation/op_1", "acme", {**about, "pools": ["security"]}),
        ("operation.failed", "operation/op_1", "acme", {**about, "pools": ["security"], **failure}),
    ]
    drain = kept.model_copy(
        update={"id": "op_2", "kind": "drain", "status": "succeeded", "request": {"agent_id": "a-1"}, "error": None}
    )
    await stores.fleet.save_operation(drain)
    assert (await told(stores))[-1][3] == {"operation": "op_2", "kind": "drain", "agent": "a-1"}


async def test_a_scaling_decision_tells_the_pools_that_it_changes_or_nothing(stores: Stores) -> None:
    same = PoolDecision(pool="security", agents=2, before=2)
    more = PoolDecision(pool="federation", agents=4, before=2, reasons=("it is busy",))
    await stores.scaling.add_decision(ScaleDecision(at=AT, pools=(same,), by="rules"))
    await stores.scaling.add_decision(ScaleDecision(at=AT + timedelta(1), pools=(more,), by="rules", dry_run=True))
    await stores.scaling.add_decision(ScaleDecision(at=AT + timedelta(2), pools=(same, more), by="rules", standby=1))
    ((kind, key, tenant, data),) = await told(stores)
    assert (kind, key, tenant) == ("scaling.decided", "scaling/decisions", SYSTEM_TENANT)
    assert data == {
        "by": "rules",
        "pools": [{"pool": "federation", "before": 2, "agents": 4, "reasons": ["it is busy"]}],
        "standby": 1,
        "at": (AT + timedelta(2)).isoformat(),
    }


def key(**fields: Any) -> ApiKey:
    known = {"id": "k1", "tenant": "acme", "name": "ci", "scopes": (Scope.CHAT,), "prefix": "ossa_sk", "created_at": AT}
    return ApiKey(**{**known, **fields})


async def test_keys_tell_when_they_are_created_and_revoked_by_whom_and_once(stores: Stores) -> None:
    with acting(WHO):
        await stores.keys.add(key(), secret_sha256=b"1" * 32)
        await stores.keys.add(key(), secret_sha256=b"1" * 32)
        with pytest.raises(Conflict):
            await stores.keys.add(key(tenant="globex"), secret_sha256=b"2" * 32)
        with pytest.raises(NotFound):
            await stores.keys.revoke("k1", at=AT, tenant="globex")
        assert (await stores.keys.revoke("k1", at=AT, tenant="acme")).revoked_at == AT
        assert (await stores.keys.revoke("k1", at=AT + timedelta(1), tenant="acme")).revoked_at == AT
    assert await told(stores) == [
        ("key.created", "key/k1", "acme", {"key": "k1", "name": "ci", "scopes": ["chat"]}),
        ("key.revoked", "key/k1", "acme", {"key": "k1"}),
    ]
    for event in await facts(stores):
        assert (event.actor, event.requestid, event.traceparent) == ("key/k9", "r-9", "t-9")


async def test_of_many_who_revoke_a_key_at_once_one_tells(stores: Stores) -> None:
    await stores.keys.add(key(), secret_sha256=b"1" * 32)
    revoked = await asyncio.gather(*(stores.keys.revoke("k1", at=AT + timedelta(n)) for n in range(8)))
    assert len({found.revoked_at for found in revoked}) == 1
    assert [fact[0] for fact in await told(stores)] == ["key.created", "key.revoked"]


def budget(**fields: Any) -> Budget:
    known = {"owner": "default", "kind": "tenant", "name": "acme", "period": "day", "hard_usd": 1.0, "soft_usd": 0.5}
    return Budget(**{**known, **fields})


async def test_budgets_tell_their_limits_and_their_end_to_whom_they_limit(stores: Stores) -> None:
    set_ = budget()
    await stores.budgets.put(set_)
    await stores.budgets.put(set_)
    await stores.budgets.put(budget(hard_usd=2))
    pools = budget(kind="pool", name="security", tenant=None, soft_usd=None)
    await stores.budgets.put(pools)
    await stores.budgets.remove(set_.id)
    with pytest.raises(NotFound):
        await stores.budgets.remove(set_.id)
    about = {"budget": set_.id, "subject": "tenant:acme", "period": "day", "soft_usd": 0.5}
    other = {"budget": pools.id, "subject": "pool:security", "period": "day", "hard_usd": 1.0}
    assert await told(stores) == [
        ("budget.set", f"budget/{set_.id}", "acme", {**about, "hard_usd": 1.0}),
        ("budget.set", f"budget/{set_.id}", "acme", {**about, "hard_usd": 2.0}),
        ("budget.set", f"budget/{pools.id}", "default", other),
        ("budget.removed", f"budget/{set_.id}", "acme", {"budget": set_.id}),
    ]


def asked(number: int, usd: float) -> Reservation:
    subjects = subjects_of(tenant="acme", pool="security", manifest="reviewer", task_id=f"t{number}")
    return Reservation(id=f"r{number}", tenant="acme", subjects=subjects, least_usd=usd, most_usd=usd)


async def test_a_limit_that_is_reached_is_told_once_a_period(stores: Stores, dsn: str | None) -> None:
    await stores.budgets.put(budget())
    await stores.budgets.reserve(asked(1, 0.4))
    assert len(await told(stores)) == 1
    for number in (2, 3):
        await stores.budgets.reserve(asked(number, 0.2))
    for number in (4, 5, 6):
        with pytest.raises(BudgetExceeded):
            await stores.budgets.reserve(asked(number, 0.9))
    if dsn is not None:  # another replica
        other = PostgresStores(Database(), dsn)
        await other.open()
        with pytest.raises(BudgetExceeded):
            await other.budgets.reserve(asked(7, 0.9))
        await other.close()
    _, warned, refused = await told(stores)
    day = warned[3]["period_key"]
    about = {
        "budget": budget().id, "subject": "tenant:acme", "period": "day", "hard_usd": 1.0, "soft_usd": 0.5,
        "period_key": day,
    }  # fmt: skip
    assert warned == ("budget.warned", f"budget/{budget().id}", "acme", about)
    assert refused == ("budget.refused", f"budget/{budget().id}", "acme", about)
    ids = [event.id for event in await facts(stores)]
    assert ids[1:] == [f"budget/{budget().id}:{day}:warned", f"budget/{budget().id}:{day}:refused"]


async def test_policies_tell_which_settings_they_have_and_never_twice_the_same(stores: Stores) -> None:
    policy = RoutingPolicy(models="cheapest", explore=0.1)
    await stores.routing.save_policy("acme", policy)
    await stores.routing.save_policy("acme", policy)
    await stores.routing.save_policy("*", RoutingPolicy())
    await stores.routing.save_policy("acme", None)
    await stores.routing.save_policy("acme", None)
    changed = {"tenant": "acme", "settings": ["explore", "models"]}
    assert await told(stores) == [
        ("policy.changed", "policy/acme", "acme", changed),
        ("policy.changed", "policy/*", SYSTEM_TENANT, {"tenant": "*"}),
        ("policy.removed", "policy/acme", "acme", {"tenant": "acme"}),
    ]


async def test_feedback_is_told_after_its_task_without_what_was_said(stores: Stores, made: Any) -> None:
    new = made.task()
    await stores.journal.accept(new, owner="a")
    said = Feedback(task_id=new.id, tenant="acme", rating=0.25, comment="secret", expected="reviewer", at=AT)
    with pytest.raises(Conflict):
        await stores.routing.rate(said)
    await stores.journal.finish(new.id, fence=1, outcome=made.outcome())
    await stores.routing.rate(said)
    data = {"task": new.id, "rating": 0.25, "expected": "reviewer"}
    assert await told(stores) == [("feedback.given", new.id, "acme", data)]


async def test_models_tell_when_they_are_added_promoted_and_rolled_back(stores: Stores) -> None:
    routing = stores.routing
    for digest in ("d1", "d2", "d2"):
        await routing.add_model("labels", digest.encode(), card={"secret": 1}, digest=digest)
    for version in (1, 2, 2):
        await routing.promote("labels", version)
    for _ in range(3):
        await routing.roll_back("labels")
    found = await told(stores)
    assert {(key, tenant) for _, key, tenant, _ in found} == {("router/labels", SYSTEM_TENANT)}
    about = {"kind": "labels"}
    assert [(kind, data) for kind, _, _, data in found] == [
        ("router.added", {**about, "version": 1, "digest": "d1"}),
        ("router.added", {**about, "version": 2, "digest": "d2"}),
        ("router.promoted", {**about, "version": 1}),
        ("router.promoted", {**about, "version": 2, "predecessor": 1}),
        ("router.rolledback", {**about, "version": 2, "successor": 1}),
        ("router.rolledback", {**about, "version": 1}),
    ]


async def test_an_approved_proposal_is_told_once(stores: Stores) -> None:
    approval = Approval(id="p1", kind="tier", subject="reviewer", by="k1", at=AT, proposal={"secret": 1})
    assert [await stores.spending.approve(approval) for _ in range(2)] == [True, False]
    data = {"proposal": "p1", "kind": "tier", "subject": "reviewer", "by": "k1"}
    assert await told(stores) == [("proposal.approved", "proposal/p1", SYSTEM_TENANT, data)]


def draft(number: int, id: str = "m1") -> Draft:
    return Draft(
        tenant="acme", id=id, kind="note", subject="a person", facts={"secret": 1}, content=f"secret {number}",
        digest="d", tier="warm", expires_at=None, if_version=None, write_id=f"w{number}", at=AT,
    )  # fmt: skip


async def test_memories_tell_ids_and_numbers_and_never_what_they_say(stores: Stores) -> None:
    memory = memory_of(stores)
    for number in (1, 1, 2):
        await memory.write(draft(number))
    await memory.write(draft(3, "m2"))
    one = await memory.erase(Forgotten(tenant="acme", ids=("m1",)), at=AT, id="e1")
    assert one is not None
    assert await memory.erase(Forgotten(tenant="acme", ids=("m1",)), at=AT, id="e1") == one
    assert await memory.erase(Forgotten(tenant="acme", ids=("m9",)), at=AT, id="e2") is None
    await memory.erase(Forgotten(tenant="acme", subject="a person"), at=AT, id="e3")
    proof = ForgetProof(id="e1", scope=one.scope, at=AT, fence=one.fence, items=1, places=(), complete=True)
    await memory.confirm(proof)
    await memory.confirm(proof)
    await memory.close_erasure("e1")
    assert await told(stores) == [
        ("memory.written", "memory/m1", "acme", {"memory": "m1", "kind": "note"}),
        ("memory.written", "memory/m1", "acme", {"memory": "m1", "kind": "note"}),
        ("memory.written", "memory/m2", "acme", {"memory": "m2", "kind": "note"}),
        ("memory.forgotten", "memory/m1", "acme", {"erasure": "e1", "scope": "ids", "items": 1, "memories": ["m1"]}),
        ("memory.forgotten", "memory/m2", "acme",
         {"erasure": "e3", "scope": "subject", "items": 1, "memories": ["m2"]}),
        ("memory.erased", "memory/*", "acme", {"erasure": "e1"}),
    ]  # fmt: skip
    events = await facts(stores)
    assert [event.id for event in events[:2]] == ["memory/m1:w1", "memory/m1:w2"]
    assert not any(word in event.model_dump_json() for event in events for word in ("secret", "person"))


async def test_grants_tell_to_whom_and_for_what(stores: Stores) -> None:
    memory = memory_of(stores)
    await memory.grant(Grant(tenant="acme", to="globex", kinds=("note",), granted_at=AT))
    assert [await memory.revoke("acme", to="globex") for _ in range(2)] == [True, False]
    assert await told(stores) == [
        ("memory.granted", "memory/grants/globex", "acme", {"to": "globex", "kinds": ["note"]}),
        ("memory.revoked", "memory/grants/globex", "acme", {"to": "globex"}),
    ]


async def test_a_group_that_is_moved_is_told(stores: Stores) -> None:
    await stores.facts.seek("billing", 0)
    await stores.facts.seek("billing", 131_072)
    assert await told(stores) == [
        ("consumer.moved", "consumer/billing", SYSTEM_TENANT, {"group": "billing", "offset": 0}),
        ("consumer.moved", "consumer/billing", SYSTEM_TENANT, {"group": "billing", "offset": 131_072}),
    ]


async def test_settings_that_differ_from_the_last_start_are_told_by_name(stores: Stores) -> None:
    note = stores.fleet.note_configuration
    assert await note("controller", {"a": "1", "b": "2"}, version="1.0") == []
    assert await note("controller", {"a": "1", "b": "2"}, version="1.0") == []
    assert await note("gateway", {"a": "7"}, version="1.0") == []
    assert await note("controller", {"a": "1", "b": "3", "c": "4"}, version="1.1") == ["b", "c"]
    await asyncio.gather(*(note("controller", {"a": "9"}, version="1.1") for _ in range(5)))
    assert await told(stores) == [
        ("configuration.changed", "configuration", SYSTEM_TENANT,
         {"part": "controller", "settings": ["b", "c"], "version": "1.1"}),
        ("configuration.changed", "configuration", SYSTEM_TENANT,
         {"part": "controller", "settings": ["a", "b", "c"], "version": "1.1"}),
    ]  # fmt: skip


async def test_what_is_rolled_back_is_not_told_and_what_is_told_was_written(stores: Stores, dsn: str | None) -> None:
    """The fact is in the transaction of its write: where the log cannot be written nothing else is."""
    if dsn is None:
        pytest.skip("left out: the fake has no transactions")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE ossa.facts ADD CONSTRAINT no_facts CHECK (body = '') NOT VALID")
        try:
            for write in (
                stores.keys.add(key(), secret_sha256=b"1" * 32),
                stores.fleet.save_pool(DesiredPool(name="security", size=2)),
                stores.budgets.put(budget()),
                stores.routing.save_policy("acme", RoutingPolicy(explore=0.1)),
                stores.routing.add_model("labels", b"x", card={}, digest="d"),
                memory_of(stores).write(draft(1)),
            ):
                with pytest.raises(Exception, match=r"no_facts|could not|violates|kept"):
                    await write
        finally:
            connection.execute("ALTER TABLE ossa.facts DROP CONSTRAINT no_facts")
        left = [
            connection.execute(f"SELECT count(*) FROM ossa.{table}").fetchone()  # type: ignore[arg-type]
            for table in ("api_keys", "pools", "budgets", "routing_policies", "router_models", "memory_items")
        ]
    assert left == [(0,)] * 6
