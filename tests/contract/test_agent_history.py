"""The lists of agents' lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ossa.contracts.agent_history import AgentMoment
from ossa.contracts.stores import Stores

pytestmark = pytest.mark.asyncio

NOW = datetime.now(UTC)


def moment(id: str, *, agent: str = "security-001", tenant: str = "_system", **more: Any) -> AgentMoment:
    given = {"type": "ossa.agent.lost.v1", "at": NOW, "outcome": "failed", "reason": "its process died", **more}
    return AgentMoment(id=id, agent=agent, tenant=tenant, **given)


async def test_a_moment_is_kept_once_whole_and_newest_first(stores: Stores) -> None:
    history = stores.agent_history
    first = moment("1", pool="security", manifest="m", version="1.0", incarnation="i", node="n", reason="日\0")
    assert await history.add(first)
    assert not await history.add(first)
    assert not await history.add(moment("1", reason="another"))
    for number in range(2, 5):
        await history.add(moment(str(number)))
    await history.add(moment("x", agent="other"))
    found = await history.of("security-001", tenant=None)
    assert [each.id for _, each in found] == ["4", "3", "2", "1"]
    assert found[-1][1] == first
    page = await history.of("security-001", tenant=None, limit=2)
    assert page == found[:2]
    assert await history.of("security-001", tenant=None, before=page[-1][0], limit=2) == found[2:]
    assert await history.of("nobody", tenant=None) == []


async def test_a_tenant_reads_its_own_moments_alone(stores: Stores) -> None:
    for tenant in ("acme", "rival", "_system"):
        await stores.agent_history.add(moment(tenant, tenant=tenant))
    assert [each.id for _, each in await stores.agent_history.of("security-001", tenant="acme")] == ["acme"]
    assert len(await stores.agent_history.of("security-001", tenant=None)) == 3


async def test_old_moments_go_and_later_ones_stay(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossa.stores.postgres.agent_history.PRUNED_AT_ONCE", 2)
    for number in range(5):
        await stores.agent_history.add(moment(str(number), at=NOW - timedelta(days=2)))
    await stores.agent_history.add(moment("late"))
    assert await stores.agent_history.prune(before=NOW - timedelta(days=1)) == 5
    assert [each.id for _, each in await stores.agent_history.of("security-001", tenant=None)] == ["late"]


async def test_row_level_security_keeps_the_table_s_tenants_apart(stores: Stores, dsn: str | None) -> None:
    if dsn is None:
        pytest.skip("left out: the fake has no rows")
    for tenant in ("acme", "rival"):
        await stores.agent_history.add(moment(tenant, tenant=tenant))
    with psycopg.connect(dsn) as conn:
        conn.execute("SET LOCAL ROLE ossa_tenant")
        conn.execute("SELECT set_config('ossa.tenant', 'acme', true)")
        rows = conn.execute("SELECT tenant FROM ossa.agent_history").fetchall()
        assert rows == [("acme",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("DELETE FROM ossa.agent_history")
