from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.fleet import FleetSnapshot, PoolInfo
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.testing.stores import MemoryStores
from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.resolvers import standard_registry
from ossa.vortex.exchange.template import Template
from tests.support.fleet import agent, fleet

Make = Callable[[str], Template]
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Fleet:
    def snapshot(self) -> FleetSnapshot:
        fields = {
            "pool": "intelligence",
            "manifest": "analyst",
            "version": "1.2.0",
            "capabilities": ("sql", "charts"),
            "description": "Answers questions about numbers.",
            "address": "10.0.0.1:99",
        }
        pool = PoolInfo(name="intelligence", desired=50, ready=48, starting=2, blocks=13, manifests=("analyst",))
        agents = (agent("intelligence-001", **fields), agent("private-1", tenant="acme", **fields))
        return fleet(*agents, pools=(pool,), channel_token="secret")


class Memory:
    async def recall(self, key: str, *, scope: str, tenant: str) -> str | None:
        kept = {("acme", "team", "goals"): "Ship {STATE:pool:intelligence:ready}."}
        return kept.get((tenant, scope, key))


class Metrics:
    async def value(self, name: str, *, scope: str, tenant: str) -> float | None:
        if (scope, name) != ("intelligence", "queue_depth"):
            return None
        return 0.123456789 if tenant == "acme" else 7


@pytest.fixture
def ask(bench: Any, template: Make) -> Callable[..., Any]:
    registry = standard_registry(fleet=Fleet(), memory=Memory(), metrics=Metrics())
    exchange = TokenExchange(registry, clock=bench.clock.now)

    async def ask(text: str, tenant: str = "acme") -> str:
        found = await exchange.resolve(template(text), tenant=tenant)
        return found.failures[0].message if found.failures else found.text

    return ask


async def test_agents_and_pools_are_read_from_the_latest_snapshot(ask: Any) -> None:
    assert await ask("{STATE:agent:intelligence-001:state} {DATA:agent:intelligence-001:version}") == "ready 1.2.0"
    assert await ask("{CONTEXT:agent:intelligence-001:card}") == (
        "intelligence-001 (analyst 1.2.0, pool intelligence). Answers questions about numbers. "
        "Capabilities: sql, charts."
    )
    assert await ask("{STATE:pool:intelligence:ready}/{STATE:pool:intelligence:desired}") == "48/50"
    assert await ask("{DATA:pool:enterprise-analytics:manifests}") == "analyst"
    assert "no pool nowhere" in await ask("{STATE:pool:nowhere:ready}")


async def test_another_tenants_agent_is_as_absent_as_one_that_never_was(ask: Any) -> None:
    assert await ask("{STATE:agent:private-1:state}") == "ready"
    foreign = await ask("{STATE:agent:private-1:state}", tenant="other")
    assert foreign.replace("private-1", "never-1") == await ask("{STATE:agent:never-1:state}", tenant="other")


async def test_a_value_that_is_not_there_is_answered_with_those_that_are(ask: Any) -> None:
    assert "slots, state" in await ask("{STATE:agent:intelligence-001:address}")
    assert "{METRICS:agent:intelligence-001:state}: nobody resolves it" in await ask(
        "{METRICS:agent:intelligence-001:state}"
    )


async def test_what_is_remembered_is_text_and_a_tenants_own(ask: Any) -> None:
    assert await ask("{CONTEXT:memory:team:goals}") == "Ship {STATE:pool:intelligence:ready}."
    assert "nothing is remembered" in await ask("{CONTEXT:memory:team:goals}", tenant="other")


async def test_numbers_are_written_plainly(ask: Any) -> None:
    assert await ask("{METRICS:metrics:intelligence:queue_depth}") == "0.123457"
    assert await ask("{METRICS:metrics:intelligence:queue_depth}", tenant="other") == "7"
    assert "no number" in await ask("{METRICS:metrics:intelligence:speed}")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("utc:now", "2026-11-23T12:00:00+00:00"),
        ("Asia/Tokyo:now", "2026-11-23T21:00:00+09:00"),
        ("utc:date", "2026-11-23"),
        ("utc:time", "12:00:00"),
        ("utc:weekday", "Monday"),
        ("utc:week", "2026-W48"),
        ("utc:unix", "1795435200"),
    ],
)
async def test_time_is_the_exchanges_own(ask: Any, bench: Any, asked: str, said: str) -> None:
    assert await ask(f"{{TEMPORAL:time:{asked}}}") == said
    bench.clock.advance(3600)
    if asked == "utc:time":
        assert await ask("{TEMPORAL:time:utc:time}") == "13:00:00"


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "Europe"])
async def test_a_zone_that_is_none_is_refused(ask: Any, zone: str) -> None:
    message = (
        await ask(f"{{TEMPORAL:time:x/{zone}:now}}")
        if zone.startswith(".")
        else await ask(f"{{TEMPORAL:time:{zone}:now}}")
    )
    assert "no time zone" in message


async def test_tasks_are_read_from_the_journal_and_are_a_tenants_own(bench: Any, template: Make) -> None:
    stores = MemoryStores(bench.clock.now)
    journal = stores.journal
    request = TaskRequest(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What is {TEMPORAL:time:utc:now}?"}]},
            {"role": "assistant", "content": "?"},
        ]
    )
    await journal.accept(NewTask(id="task_1", tenant="acme", request=request), owner="me")
    payload = {"call_id": "c1", "name": "clock", "content": "noon", "is_error": False}
    usage = Usage(prompt_tokens=7, completion_tokens=2, cost_usd=0.25, model_calls=1)
    step = Step(seq=0, kind="tool_result", agent_id="intelligence-001", payload=payload, usage=usage, at=AT)
    await journal.append("task_1", fence=1, steps=[step])
    exchange = TokenExchange(standard_registry(tasks=journal), clock=bench.clock.now)

    async def ask(text: str, tenant: str = "acme") -> str:
        found = await exchange.resolve(template(text), tenant=tenant, bindings={"task": "task_1"})
        return found.failures[0].message if found.failures else found.text

    assert await ask("{STATE:task:current:status} {STATE:task:task_1:agent}") == "running intelligence-001"
    assert await ask("{CONTEXT:task:current:request}") == "What is {TEMPORAL:time:utc:now}?"
    assert '"content":"noon"' in await ask("{DATA:task:current:tool_results}")
    assert await ask("{METRICS:task:current:tokens} {METRICS:task:current:cost_usd}") == "9 0.250000"
    assert await ask("{CONTEXT:task:current:answer}|{STATE:task:current:error}") == "|"
    foreign = await ask("{STATE:task:task_1:status}", tenant="other")
    assert foreign.replace("task_1", "task_0") == await ask("{STATE:task:task_0:status}", tenant="other")
    assert "running" not in foreign

    answer = {"role": "assistant", "content": "It is noon."}
    done = Outcome(status=TaskStatus.SUCCEEDED, message=answer, usage=usage, agent_id="intelligence-002", pool="p")
    await journal.finish("task_1", fence=1, outcome=done)
    bench.clock.advance(301)
    assert await ask("{STATE:task:current:status} {CONTEXT:task:current:answer}") == "succeeded It is noon."
    assert await ask("{STATE:task:current:agent} {STATE:task:current:pool}") == "intelligence-002 p"
